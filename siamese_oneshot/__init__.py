"""One-shot image recognition with twin (Siamese) networks.

Importing this package costs nothing: PyTorch is loaded by the parts that need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siamese_oneshot.classifier import OneShotClassifier

__version__ = "0.1.0"
__all__ = ["OneShotClassifier", "__version__"]


def __getattr__(name: str) -> Any:
    """Load what is asked for at its first use."""
    if name == "OneShotClassifier":
        from siamese_oneshot.classifier import OneShotClassifier

        return OneShotClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
