"""What encoders share: the gray levels they read, and how an embedding ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.models.convolution import Convolution
from siamese_oneshot.utils import check

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "none": nn.Identity}


def make_activation(name: str) -> nn.Module:
    """The activation of that name.

    Raises:
        UserError: there is none.
    """
    return ACTIVATIONS[check.choice("activation", name, ACTIVATIONS)]()


class IntensityScale(nn.Module):
    """From 0 (paper) … 1 (ink) to the gray levels that a network reads: ``paper`` … ``ink``."""

    def __init__(self, background_value: float, foreground_value: float) -> None:
        super().__init__()
        self.background_value = check.number("background_value", background_value)
        self.foreground_value = check.number("foreground_value", foreground_value)

    def forward(self, images: Tensor) -> Tensor:
        """Same shape."""
        if (self.background_value, self.foreground_value) == (0.0, 1.0):
            return images
        return self.background_value + (self.foreground_value - self.background_value) * images


class Encoder(nn.Module):
    """Ends in a fully connected layer, and in descriptors of the last map's places if asked to.

    Args:
        convolution: how the encoder's convolutions are computed (see ``Convolution``).

    Attributes:
        layers: by name, first to last.
        sides: of the input of each layer that may go through the frequency domain.
        units: size of the embedding: the whole image's part and ``places² * local``.
        places, local: side of the map and length of the descriptors; 0 where there are none.
    """

    def __init__(self, conv_impl: str) -> None:
        super().__init__()
        self.conv_impl = conv_impl
        self.layers = nn.ModuleDict()
        self.sides: dict[str, int] = {}

    def end(
        self,
        channels: int,
        side: int,
        places: int,
        embedding_dim: int,
        local_dim: int,
        dropout: float,
        activation: str,
    ) -> None:
        """Add the last layers.

        Args:
            channels, side: of the features that ``dense`` reads.
            places: side of the map that descriptors are made of; as many channels.
            units: size of the whole image's part.
            local: length of a descriptor; 0 is none.
            dropout: share of the features that training hides from ``dense``.
            activation: of the whole image's part.
        """
        embedding_dim = check.integer("embedding_dim", embedding_dim, 1)
        local_dim = check.integer("local_dim", local_dim, 0)
        self.dropout = nn.Dropout(check.fraction("dropout", dropout))
        self.layers["dense"] = nn.Linear(channels * side * side, embedding_dim)
        self.activation = make_activation(activation)
        if local_dim:
            self.layers["local"] = nn.Conv2d(channels, local_dim, 1)
        self.places, self.local_dim = (places, local_dim) if local_dim else (0, 0)
        self.embedding_dim = embedding_dim + self.places**2 * local_dim

    def embedding(self, features: Tensor, maps: Tensor) -> Tensor:
        """The end of ``forward``.

        Args:
            features: ``(n, channels, side, side)``.
            maps: ``(n, channels, places, places)``; not looked at where there are no descriptors.

        Returns:
            ``(n, units)``: the whole image's part; then descriptors, row by row, of length 1
            each, for ``CrossAttention``.
        """
        whole = self.activation(self.layers["dense"](self.dropout(features.flatten(1))))
        if not self.places:
            return whole
        found = self.layers["local"](maps).flatten(2).mT  # (n, places², local)
        return torch.cat([whole, F.normalize(found, dim=-1).flatten(1)], 1)

    def by_fourier(self, images: int, plain: bool) -> list[str]:
        """The layers whose convolutions all go through the frequency domain.

        A convolution that is always direct, such as a shortcut's, does not count.

        Args:
            images: in a batch.
            plain: in float32 on a CPU, without autocast.
        """
        return [
            name
            for name, side in self.sides.items()
            if all(
                one.by_fourier(images, side, side, plain)
                for one in self.layers[name].modules()
                if isinstance(one, Convolution) and one.way == self.conv_impl
            )
        ]
