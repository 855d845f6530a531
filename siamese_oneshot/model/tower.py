"""What towers share: the grey levels they read, and how an embedding ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot import setting
from siamese_oneshot.model.convolution import Convolution

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "none": nn.Identity}


def make_activation(name: str) -> nn.Module:
    """The activation of that name.

    Raises:
        UserError: there is none.
    """
    return ACTIVATIONS[setting.one_of("model.encoder.activation", name, ACTIVATIONS)]()


class InkScale(nn.Module):
    """From 0 (paper) … 1 (ink) to the grey levels that a network reads: ``paper`` … ``ink``."""

    def __init__(self, paper: float, ink: float) -> None:
        super().__init__()
        self.paper = setting.number("model.encoder.paper", paper)
        self.ink = setting.number("model.encoder.ink", ink)

    def forward(self, pictures: Tensor) -> Tensor:
        """Same shape."""
        if (self.paper, self.ink) == (0.0, 1.0):
            return pictures
        return self.paper + (self.ink - self.paper) * pictures


class Tower(nn.Module):
    """Ends in a fully connected layer, and in descriptors of the last map's places if asked to.

    Args:
        convolution: how the tower's convolutions are computed (see ``Convolution``).

    Attributes:
        layers: by name, first to last.
        sides: of the input of each layer that may go through the frequency domain.
        units: size of the embedding: the whole picture's part and ``places² * local``.
        places, local: side of the map and length of the descriptors; 0 where there are none.
    """

    def __init__(self, convolution: str) -> None:
        super().__init__()
        self.convolution = convolution
        self.layers = nn.ModuleDict()
        self.sides: dict[str, int] = {}

    def end(
        self,
        channels: int,
        side: int,
        places: int,
        units: int,
        local: int,
        dropout: float,
        activation: str,
    ) -> None:
        """Add the last layers.

        Args:
            channels, side: of the features that ``dense`` reads.
            places: side of the map that descriptors are made of; as many channels.
            units: size of the whole picture's part.
            local: length of a descriptor; 0 is none.
            dropout: share of the features that training hides from ``dense``.
            activation: of the whole picture's part.
        """
        where = "model.encoder"
        units = setting.whole(f"{where}.units", units, 1)
        local = setting.whole(f"{where}.local", local, 0)
        self.dropout = nn.Dropout(setting.share(f"{where}.dropout", dropout))
        self.layers["dense"] = nn.Linear(channels * side * side, units)
        self.activation = make_activation(activation)
        if local:
            self.layers["local"] = nn.Conv2d(channels, local, 1)
        self.places, self.local = (places, local) if local else (0, 0)
        self.units = units + self.places**2 * local

    def embedding(self, features: Tensor, maps: Tensor) -> Tensor:
        """The end of ``forward``.

        Args:
            features: ``(n, channels, side, side)``.
            maps: ``(n, channels, places, places)``; not looked at where there are no descriptors.

        Returns:
            ``(n, units)``: the whole picture's part; then descriptors, row by row, of length 1
            each, for ``CrossAttention``.
        """
        whole = self.activation(self.layers["dense"](self.dropout(features.flatten(1))))
        if not self.places:
            return whole
        found = self.layers["local"](maps).flatten(2).mT  # (n, places², local)
        return torch.cat([whole, F.normalize(found, dim=-1).flatten(1)], 1)

    def by_fourier(self, pictures: int, plain: bool) -> list[str]:
        """The layers whose convolutions all go through the frequency domain.

        A convolution that is always direct, such as a shortcut's, does not count.

        Args:
            pictures: in a batch.
            plain: in float32 on a CPU, without autocast.
        """
        return [
            name
            for name, side in self.sides.items()
            if all(
                one.by_fourier(pictures, side, side, plain)
                for one in self.layers[name].modules()
                if isinstance(one, Convolution) and one.way == self.convolution
            )
        ]
