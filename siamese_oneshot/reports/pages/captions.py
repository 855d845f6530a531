"""What the images of a run show, in words with their numbers, for those who cannot see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.files import ACCURACY
from siamese_oneshot.reports.pages.metrics import Curve

_TITLES = {
    "trial": "A trial with its scores",
    "trial_right": "A trial that was answered right",
    "trial_wrong": "A trial that was answered wrong",
    "mistakes": "The worst mistakes",
    "confusions": "Classes taken for each other most often",
    "alphabets": "Accuracy in each alphabet",
    "ways": "Accuracy against the number of ways",
    "pairs": "Scores of same and of different pairs",
    "filters": "Filters of the first layer",
    "distortions": "Images and their augmentations",
    "map": "Map of an alphabet's images",
}
_SHOWS = {
    "trial": "The query and an example of each class with its score; the right one is framed.",
    "trial_right": "The query and an example of each class with its score: right is chosen.",
    "trial_wrong": "The query and an example of each class with its score: a wrong one is chosen.",
    "mistakes": "Rows of query, right example and the example that was chosen, with their scores.",
    "confusions": "Rows of two classes, images of either, with how often they were mixed up.",
    "alphabets": "Bars with 95% intervals, best alphabet first.",
    "ways": "Accuracy falls as the number of classes to choose from grows.",
    "pairs": "Two histograms of pair scores, same and different, with the threshold between them.",
    "filters": "The weights of each filter of the first layer as a small image: red above 0.",
    "distortions": "Each image beside distorted copies of itself.",
    "map": "Images placed so that alike ones lie together.",
}


@dataclass
class Known:
    """The numbers that captions tell.

    Attributes:
        curves: of the training.
        scores: of the evaluation, by key.
        alphabets: of the evaluation's within-alphabet.
    """

    curves: Mapping[str, Curve] = field(default_factory=dict)
    scores: Mapping[str, Score] = field(default_factory=dict)
    alphabets: Sequence[Score] = ()


def title_of(name: str) -> str:
    """A heading for the image of that name."""
    return _TITLES.get(name, name.replace("_", " "))


def words_for(name: str, step: int | None, known: Known) -> str:
    """What an image shows, with the numbers that are known of it.

    Args:
        name: of the image.
        step: at which it was drawn; None: in an evaluation.
        known: where numbers come from.
    """
    parts = [_SHOWS.get(name, f"The image {title_of(name)}.")]
    numbers = _of_training(name, step, known) if step is not None else _of_test(name, known)
    return " ".join([*parts, *([numbers] if numbers else [])])


def _of_training(name: str, step: int, known: Known) -> str:
    if name in ("filters", "distortions"):
        return f"Drawn at step {step:,}."
    if name == "pairs":
        accuracy = _at(known.curves.get("val/verification_accuracy"), step)
        auroc = _at(known.curves.get("val/verification_auroc"), step)
        told = [] if accuracy is None else [f"{100 * accuracy:.2f}% of pairs are told right"]
        told += [] if auroc is None else [f"AUROC {auroc:.4f}"]
        return f"On validation pairs at step {step:,}: {', '.join(told)}." if told else ""
    accuracy = _at(known.curves.get(ACCURACY), step)
    if accuracy is None:
        return ""
    return f"Of all validation trials at step {step:,}, {100 * accuracy:.2f}% are answered right."


def _of_test(name: str, known: Known) -> str:
    if name == "alphabets" and known.alphabets:
        told = [f"{one.name.replace('_', ' ')} {100 * one.value:.1f}%" for one in known.alphabets]
        return f"{', '.join(told)}."
    if name == "ways":
        told = [
            f"{score.way} ways {100 * score.value:.1f}%"
            for score in known.scores.values()
            if score.series == "way_curve_test"
        ]
        return f"On test characters: {', '.join(told)}." if told else ""
    lists = {"pairs": "verification", "mistakes": "within_alphabet", "confusions": "one_shot"}
    key = lists.get(name, "lake_runs")
    score = known.scores.get(key) or known.scores.get("koch_protocol" if key == "lake_runs" else key)
    if score is None or name in ("filters", "distortions", "map"):
        return ""
    return f"Of {score.n:,} ({score.name}), {100 * score.value:.2f}% are right."


def _at(curve: Curve | None, step: int) -> float | None:
    """The value at a step: the trainer counts validations from 0, the album from 1."""
    if curve is None:
        return None
    near = [n for n, own in enumerate(curve.steps) if step - 1 <= own <= step]
    return curve.values[near[-1]] if near else None
