"""Whether a network of some shape can be built at all, found out without building it."""

from __future__ import annotations

from omegaconf import DictConfig


def why_infeasible(cfg: DictConfig) -> str | None:
    """What is wrong with the shape of a job's network, such as kernels larger than their input.

    The encoder is built on PyTorch's ``meta`` device, which holds shapes and no numbers.

    Args:
        cfg: the job's composed configuration.

    Returns:
        None for a shape that works.
    """
    import torch
    from hydra.utils import instantiate

    from siamese_oneshot.utils.errors import UserError

    try:
        build = instantiate(cfg.model.encoder)  # imports what it needs, on the usual device
        with torch.device("meta"):
            build()
    except UserError as problem:
        return str(problem)
    except Exception as problem:
        if isinstance(problem.__cause__, UserError):  # Hydra wraps what a target raises
            return str(problem.__cause__)
        raise
    return None
