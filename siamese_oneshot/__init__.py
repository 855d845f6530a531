"""One-shot image recognition with Siamese networks.

Importing this package is cheap: PyTorch is imported with the first class that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siamese_oneshot.classifier import OneShotClassifier
    from siamese_oneshot.data.datamodule import (
        ImageFolderDataModule,
        OmniglotDataModule,
        OneShotDataModule,
        SyntheticDataModule,
    )
    from siamese_oneshot.module import SiameseModule
    from siamese_oneshot.runs.checkpoint import load_pretrained

__version__ = "0.1.0"

_MODULES = {
    "ImageFolderDataModule": "data.datamodule",
    "OmniglotDataModule": "data.datamodule",
    "OneShotClassifier": "classifier",
    "OneShotDataModule": "data.datamodule",
    "SiameseModule": "module",
    "SyntheticDataModule": "data.datamodule",
    "load_pretrained": "runs.checkpoint",
}
__all__ = [
    "ImageFolderDataModule",
    "OmniglotDataModule",
    "OneShotClassifier",
    "OneShotDataModule",
    "SiameseModule",
    "SyntheticDataModule",
    "__version__",
    "load_pretrained",
]


def __getattr__(name: str) -> Any:
    """Import a class or function at its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
