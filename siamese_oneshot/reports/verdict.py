"""The comparison of a run or a sweep with published results, in one sentence and in tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from siamese_oneshot.data.splits import FOLD, TRAINS_ON_VALIDATION
from siamese_oneshot.evaluation.published import (
    MAIN_PROTOCOL,
    against,
    comparison,
    comparison_table,
    reference,
)
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import ENOUGH_SEEDS, mean_interval, wilson
from siamese_oneshot.reports.aggregate import Group, certainty, group_runs
from siamese_oneshot.reports.read import DataInfo, Sweep, read_sweep
from siamese_oneshot.reports.tables import mean_text, settings_text
from siamese_oneshot.runs.job import COMPLETE, train_again
from siamese_oneshot.runs.result import command_line
from siamese_oneshot.utils.tables import Table
from siamese_oneshot.utils.text import path_text

_POOLED = ("test/within_alphabet", "validation/one_shot")  # the first that all folds have


@dataclass(frozen=True)
class Verdict:
    """One sentence, where the score stands to the paper's, and what to know about the latter."""

    text: str
    tone: str  # above, below, open or none
    about: str = ""


def run_verdict(scores: Sequence[Score], data: DataInfo | None) -> Verdict:
    """Compare a run's score under the paper's main protocol with the paper and with humans."""
    score = _compared(scores)
    if score is None:
        return Verdict(_not_comparable(scores, data), "none")
    tone, words = against(score.low, score.high)
    text = f"{score.in_words} on {score.name}, test set, {score.n:,} episodes: {words}."
    about = f"{_about_paper(data, score.low, score.high)} {_chosen(data)}"
    return Verdict(f"{text} {_difference(score.value)}", tone, about)


def _compared(scores: Iterable[Score]) -> Score | None:
    """The first score under the paper's main protocol."""
    return next((score for score in scores if score.comparable_with == MAIN_PROTOCOL), None)


def sweep_verdict(groups: Sequence[Group]) -> Verdict:
    """Compare the settings with the best validation score, over their seeds."""
    if not groups:
        return Verdict("No job has finished yet.", "none")
    if folds := _pooled_folds(groups):
        return Verdict(folds, "none")
    seen, best = _trained_on(groups), chosen(groups)
    if best is None:
        return Verdict(
            f"No settings are named best: data.split={seen} trains on its validation alphabets, so "
            "their scores cannot choose settings; to choose, sweep with "
            f"data.split={TRAINS_ON_VALIDATION[seen]} callbacks=default.",
            "none",
        )
    mean = best.val_accuracy
    lead = "Score on validation alphabets that were trained on" if seen else "Best validation score"
    text = f"{lead}: {_named(best)} with {mean_text(mean, '%')}"
    if mean.margin is not None:
        text += f" (mean and 95% interval of {mean.n} seeds)"
    lists = [run.of_split("validation").values() for run in best.runs]
    ways = {one.way for own in lists for one in own if one.kind == "one_shot" and one.way}
    text += f", chance {100 / ways.pop():.3g}%" if len(ways) == 1 else ""
    text = f"{text}. {certainty(groups)}".rstrip()
    tested = [(run, score) for run in best.runs if (score := _compared(run.scores.values()))]
    if not tested:
        own = [score for run in best.runs for score in run.of_split("test").values()]
        return Verdict(f"{text} {_not_comparable(own, best.data)}", "none")
    if len(tested) == 1:
        run = tested[0][0]
        verdict = run_verdict(list(run.scores.values()), best.data)
        whose = f"Job {run.number}: " if mean.n > 1 else ""
        return Verdict(f"{text} {whose}{verdict.text}", verdict.tone, verdict.about)
    scores = [score for _, score in tested]
    value, tone, words = over_seeds(scores)
    text += f" Test set, {scores[0].name}: {words}. {_difference(value)}"
    low, high = min(score.low for score in scores), max(score.high for score in scores)
    jobs = sum(bool(run.of_split("test")) for group in groups for run in group.runs)
    return Verdict(text, tone, f"{_about_paper(best.data, low, high)} {_chosen(best.data, jobs)}")


def chosen(groups: Sequence[Group]) -> Group | None:
    """The settings with the best validation score; None where no score can choose among them."""
    return None if not groups or (len(groups) > 1 and _trained_on(groups)) else groups[0]


def _trained_on(groups: Sequence[Group]) -> str:
    """A split of theirs that trains on its validation alphabets; empty if there is none."""
    splits = [group.data.split for group in groups if group.data is not None]
    return next((split for split in splits if split in TRAINS_ON_VALIDATION), "")


def conclusion(folder: Path) -> str:
    """The verdict on a sweep's folder, and what to do next with the command for it."""
    sweep = read_sweep([folder])
    groups, _ = group_runs(sweep)
    what, command = next_of_sweep(sweep, groups)
    text = sweep_verdict(groups).text
    return f"{text}\n{what}: {command}" if command else text


def next_of_sweep(sweep: Sweep, groups: Sequence[Group]) -> tuple[str, str]:
    """What to do next with a sweep, and the command; the command is empty if there is none."""
    left = [run for run in sweep.runs if run.status not in COMPLETE]
    if left or not groups:
        commands = [command for _, command in sweep.commands(left or sweep.runs)]
        return f"To continue the sweep{'s' * (len(commands) > 1)}", "\n".join(commands)
    if (settings := chosen(groups)) is None:
        return "", ""
    best = settings.best
    if best.of_split("test") or best.job is None:
        command = command_line("evaluate", path_text(best.folder))
        return "To evaluate the best job on every list, with figures", command
    again = train_again(best.job.overrides, "test=true")
    return "To train the best settings again, and test", again


def over_seeds(scores: Sequence[Score]) -> tuple[float, str, str]:
    """Compare the seeds of one setting, two or more, with the paper and with humans.

    All seeds answer the same episodes, so these are not pooled. Few seeds are above or below if the
    interval of each of them is. From five seeds on, both an interval over seeds, and the mean of
    the seeds' intervals over episodes, must be.

    Returns:
        The mean, then as `published.against`.
    """
    value, low, high = mean_interval([score.value for score in scores])
    text = f"mean {100 * value:.2f}%, 95% interval"
    if len(scores) >= ENOUGH_SEEDS:
        over = [(max(0.0, low), min(1.0, high))]
        over.append((fmean(score.low for score in scores), fmean(score.high for score in scores)))
        text += f" {_range(*over[0])} over {len(scores)} seeds, {_range(*over[1])} over episodes"
        tone, words = against(min(over)[0], max(high for _, high in over))
    else:
        low, high = min(score.low for score in scores), max(score.high for score in scores)
        text += f"s of its {len(scores)} seeds within {_range(low, high)}"
        tone, words = against(low, high, f"{len(scores)} seeds are too few to tell")
    return value, tone, f"{text}: {words}"


def _pooled_folds(groups: Sequence[Group]) -> str:
    """The accuracy of each setting over the folds of a k-fold sweep; empty for other sweeps."""
    folds: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if group.data is None or not FOLD.fullmatch(group.data.split):
            return ""
        others = [key for key in group.settings if key != "data.split"]
        named = settings_text(group.settings, others) if others else ""
        total = group.data.split.rpartition("_")[2]
        folds.setdefault((named, total), []).append(group)
    sentences = []
    for (settings, total), parts in folds.items():
        runs = [run for part in parts for run in part.runs]
        key = next((k for k in _POOLED if all(k in run.scores for run in runs)), None)
        if key is None:
            return ""
        scores = [run.scores[key] for run in runs]
        n = sum(one.n for one in scores)
        means = [one.value for part in parts if (one := part.score(key))]
        text = f"{settings}: " if settings else ""
        text += f"{100 * sum(one.correct for one in scores) / n:.2f}% on {scores[0].name}, {n:,} "
        text += f"episodes pooled over {len(parts)} of {total} folds"
        if len(parts) > 1:
            _, low, high = mean_interval(means)
            text += f"; 95% interval of the folds' mean {_range(max(0.0, low), min(1.0, high))}"
        sentences.append(f"{text}.")
    return " ".join(sentences)


def _named(group: Group) -> str:
    """``lr=0.004, rotation=18 (jobs 14, 15)``."""
    jobs = f"job{'s' if len(group.runs) > 1 else ''} "
    jobs += ", ".join(str(run.number) for run in group.runs)
    settings = settings_text(group.settings, [*group.settings])
    return f"{settings} ({jobs})" if group.settings else jobs


def published_tables(
    models: Sequence[tuple[str, DataInfo | None, Sequence[Score]]],
) -> list[tuple[Table, list[int]]]:
    """Tables of own scores among published ones, for each protocol with any of ours.

    Args:
        models: the name, the training data and the scores of each run.

    Returns:
        Each table, and which of its rows are ours.
    """
    compared = [(name, data.trained_on, own) for name, data, own in models if data]
    return [
        (comparison_table(protocol, rows), [n for n, row in enumerate(rows) if row.ours])
        for protocol, rows in comparison(compared).items()
    ]


def _difference(value: float) -> str:
    points = 100 * value - reference(MAIN_PROTOCOL, "koch2015").value
    return f"Difference from the paper (Koch et al. 2015): {points:+.1f} points."


def _about_paper(data: DataInfo | None, own_low: float, own_high: float) -> str:
    """How certain the paper's value is beside an own interval, and how its training data differ."""
    paper = reference(MAIN_PROTOCOL, "koch2015")
    low, high = wilson(round(paper.value * (paper.n or 0) / 100), paper.n or 1)
    overlap = own_low <= high and low <= own_high
    may, hardly = "overlaps ours, so the difference may", "does not overlap ours: it can hardly"
    how = may if overlap else hardly
    text = f"95% interval of the paper's value: {_range(low, high)}, {paper.n} episodes; it {how} "
    text += "be chance."
    if data is not None and data.split != paper.split:
        own = f"{data.trained_on or 'unknown data'} (split {data.split})"
        text += f" The paper trained on {paper.trained_on}, this run on {own}."
    return text


def _chosen(data: DataInfo | None, jobs: int = 1) -> str:
    """What the test set was used for, and by how many jobs."""
    last = data is not None and data.split in TRAINS_ON_VALIDATION
    kept = "The last checkpoint was kept" if last else "The checkpoint was chosen by validation"
    return f"{kept}; the test set was read only then{'' if jobs == 1 else f', by {jobs} jobs'}."


def _not_comparable(scores: Sequence[Score], data: DataInfo | None) -> str:
    validation = next((score for score in scores if score.split == "validation"), None)
    text = ""
    if validation is not None:
        text = f"{validation.in_words} on {validation.name}, {validation.n:,} episodes. "
    if data is None:
        return text + "There is no result yet to compare with published results."
    if data.source != "omniglot":
        return text + f"Published results are on Omniglot: {data.source} cannot be compared."
    if any(score.split == "test" for score in scores):
        return text + "No test score follows a protocol of the paper."
    return text + "The test set was not used, so no score can be compared with published results."


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f}-{100 * high:.1f}"
