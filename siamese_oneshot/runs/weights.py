"""Where the weights of a trained network lie: by name, run folder or file."""

from __future__ import annotations

from pathlib import Path

from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import did_you_mean

PRETRAINED = {"pretrained": "cross_attention.safetensors", "dense": "dense.safetensors"}
_PACKAGED = Path(__file__).resolve().parents[1] / "pretrained"


def find_weights(where: str | Path) -> Path:
    """The file that ``load_trained`` reads.

    Raises:
        UserError: there is none, with the nearest names that there are.
    """
    if str(where) in PRETRAINED:
        return _PACKAGED / PRETRAINED[str(where)]
    path = Path(where).expanduser()
    if path.is_dir():
        for kept in (_told(path), path / "checkpoints/best.ckpt", path / "checkpoints/last.ckpt"):
            if kept is not None and kept.is_file():
                return kept
        raise UserError(f"{path} has no checkpoints/best.ckpt: name a run's folder or a checkpoint")
    if not path.exists():
        raise UserError(
            f"no network at {path}.{did_you_mean(where, PRETRAINED)} Name a run's folder, a .ckpt "
            f"or .safetensors file, or one of {', '.join(PRETRAINED)}"
        )
    if path.suffix not in (".ckpt", ".safetensors"):
        raise UserError(f"{path} is neither a .ckpt nor a .safetensors file")
    return path


def runs_in(folder: Path) -> list[Path]:
    """The folders in and below one that hold checkpoints, sorted: a run's own, or a sweep's."""
    return sorted(kept.parent for kept in folder.rglob("checkpoints") if any(kept.glob("*.ckpt")))


def _told(run: Path) -> Path | None:
    """The checkpoint that a run's figures are of; where it was resumed otherwise, not the best."""
    try:
        kept = read_result(run).checkpoint
    except UserError:
        return None
    return run / kept if isinstance(kept, str) else None
