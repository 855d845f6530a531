"""One-shot image recognition with twin (Siamese) networks.

Importing this package costs nothing: PyTorch is loaded by the parts that need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siamese_oneshot.recogniser import Recogniser

__version__ = "0.1.0"
__all__ = ["Recogniser", "__version__"]


def __getattr__(name: str) -> Any:
    """Load what is asked for at its first use."""
    if name == "Recogniser":
        from siamese_oneshot.recogniser import Recogniser

        return Recogniser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
