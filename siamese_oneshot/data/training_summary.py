"""What a network learned from, in words: they stand beside every figure that is compared."""

from __future__ import annotations

from collections.abc import Collection

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.omniglot import BACKGROUND


def learned(
    source: str,
    train: ClassIndex,
    left_out: Collection[str],
    validation: ClassIndex,
    generated: int,
) -> str:
    """For instance ``25 background alphabets by 20 drawers (3 more to choose by)``.

    Args:
        source: of the images.
        train: the part that trains.
        left_out: its alphabets that no batch takes.
        validation: the part that was chosen by; alphabets that train, too, are none to choose by.
        generated: alphabets mixed in, as far as batches take them.
    """
    names = {name: one for one, name in enumerate(train.names) if name not in left_out}
    drawers = {one for alphabet in names.values() for one in train.who(alphabet).tolist()}
    kind = "background " if source == "omniglot" and names.keys() <= set(BACKGROUND) else ""
    text = f"{len(names)} {kind}alphabet{'s' * (len(names) != 1)} by {len(drawers)} drawers"
    if source != "omniglot":
        text = f"data={source}: {text}"
    more = [name for name in validation.names if name not in train.names]
    if more:
        text += f" ({len(more)} more to choose by)"
    return text + (f", and {generated} generated alphabets" if generated else "")
