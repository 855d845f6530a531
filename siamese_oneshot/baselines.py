"""What a network has to beat, on the test lists: ``python -m siamese_oneshot.baselines``."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from siamese_oneshot.data.exam import ExamSize, exam_for_test
from siamese_oneshot.data.omniglot import load_omniglot
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.data.splits import split_drawings
from siamese_oneshot.errors import UserError
from siamese_oneshot.evaluation.baselines import Chance, PixelNeighbour
from siamese_oneshot.evaluation.examine import answer
from siamese_oneshot.evaluation.interval import wilson
from siamese_oneshot.evaluation.scoring import Embeddings

BASELINES: dict[str, Chance | PixelNeighbour] = {
    "guessing": Chance(),
    "pixel 1-NN, L2": PixelNeighbour(2),
}


def baselines_table(root: str | None = None, size: ExamSize | None = None) -> Table:
    """Each baseline's one-shot accuracy on the test lists of the ``lake`` split.

    Args:
        root: where Omniglot lies; looked for where None.
        size: how long the lists are; as in the default experiment where None.
    """
    omniglot = load_omniglot(root)
    drawings = omniglot.drawings
    split = split_drawings(drawings, "lake")
    exam = exam_for_test(
        Roster(drawings, split.test),
        Roster(drawings, split.yardstick),
        omniglot.runs,
        size or ExamSize(),
    )
    positions = exam.positions
    pictures = drawings.pixels[positions][:, None].float() / 255
    table = Table(title="20-way one-shot, % (95% interval)")
    table.add_column("baseline")
    for question in exam.questions:
        table.add_column(f"{question.title}, {len(question.trials):,} trials", justify="right")
    for name, baseline in BASELINES.items():
        embeddings = Embeddings(positions, baseline.embed(pictures))
        cells = []
        for question in exam.questions:
            found = answer(question, embeddings, baseline.score)
            low, high = wilson(found.correct, found.trials)
            cells.append(f"{100 * found.accuracy:.1f} ({100 * low:.1f}-{100 * high:.1f})")
        table.add_row(name, *cells)
    return table


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", help="Omniglot's folder; looked for where not given")
    try:
        Console().print(baselines_table(parser.parse_args().root))
    except UserError as problem:
        sys.exit(f"Error: {problem}")


if __name__ == "__main__":
    main()
