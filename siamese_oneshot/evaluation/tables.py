"""The tables of an evaluation: scores, seeds, ways, alphabets, confusions and paired tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import stdev

from siamese_oneshot.data.tasks import LAKE_RUNS_ARE, WAY_CURVE_TEST, WAY_CURVE_TRAIN
from siamese_oneshot.evaluation.evaluator import EpisodeResults, confusions
from siamese_oneshot.evaluation.model_evaluation import ModelResults, primary
from siamese_oneshot.evaluation.published import (
    MAIN_PROTOCOL,
    PROTOCOLS,
    Row,
    against,
    comparison,
    comparison_table,
    reference,
)
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import PairedTest, mean_interval
from siamese_oneshot.utils.tables import Table

CORE = ("one_shot", "lake_runs", "within_alphabet", "cross_alphabet", "verification", "mnist")
_TESTED = ("lake_runs", "within_alphabet")
_ROWS = 6
_PROBABILITIES = (0.3, 0.5, 0.7, 0.9, 0.99)  # the bounds of the bins
CURVES = {WAY_CURVE_TEST: "test", WAY_CURVE_TRAIN: "training"}


def answer(
    all_results: Sequence[ModelResults], tests: Sequence[PairedTest] = ()
) -> tuple[str, list[Table]]:
    """What an evaluation found: a sentence on the first network, and tables.

    The first table has our scores, marked, and the published ones nearest to them. Where models
    are compared, or no score follows the paper's main protocol, there are the scores of `CORE`,
    and the ``tests`` on the lists of `_TESTED`.
    """
    closest = primary(all_results)
    rows = comparison(one.compared for one in all_results).get(MAIN_PROTOCOL, [])
    score = next((s for s in closest.scores if s.comparable_with == MAIN_PROTOCOL), None)
    tested = [one for one in tests if one.key in _TESTED]
    compared = [models_table(all_results), *([paired_table(tested)] if tested else [])]
    if score is None or not rows:
        score, source = closest.results["within_alphabet"].score("test"), closest.dataset.source
        return (
            f"{closest.model.name}: {score.in_words} on {score.name}, {score.n:,} episodes of "
            f"{source} images: no published result is comparable.",
            compared,
        )
    low, high = score.low, score.high
    sentence = (
        f"{closest.model.name}: {score.in_words} on {score.name}, {score.n:,} episodes: "
        f"{against(low, high)[1]}. The paper is Koch et al. 2015; difference "
        f"{100 * score.value - reference(MAIN_PROTOCOL, 'koch2015').value:+.1f} points."
    )
    against_these = [reference(MAIN_PROTOCOL, name).method for name in ("koch2015", "humans")]
    once = {row.method: row for row in reversed(rows)}.values()  # the best of each method

    def rank(row: Row) -> tuple[bool, bool, float]:
        is_named = row.method in against_these
        return not row.ours, not is_named, abs(row.value - 100 * score.value)

    kept = sorted(once, key=rank)[: max(_ROWS, sum(row.ours for row in rows) + 2)]
    headings = ["", "method", ">accuracy %", ">95% interval", ">n", "source"]
    table = Table(PROTOCOLS[MAIN_PROTOCOL], headings)
    table.note = "Published: the paper's, humans' and the nearest; all are in evaluation.md."
    for row in sorted(kept, key=lambda row: -row.value):
        interval = "" if row.low is None else f"{row.low:.1f}-{row.high:.1f}"
        table.add(
            "→" if row.ours else "", row.method.removeprefix("here: "), f"{row.value:.2f}",
            interval, "-" if row.n is None else f"{row.n:,}",
            "this evaluation" if row.ours else row.note.partition(";")[0],
        )  # fmt: skip
    return sentence, [table, *(compared if len(all_results) > 1 else ())]


def models_table(all_results: Sequence[ModelResults]) -> Table:
    """The scores of `CORE`: a row per model, and the mean of each setting with several seeds."""
    lists = [score for score in primary(all_results).scores if score.key in CORE]
    headings = ["model", *(f">{score.name}, n={score.n:,}" for score in lists)]
    table = Table("Accuracy, % (95% interval)", headings, key="models")
    table.note = (
        "Intervals of means are by Student's t. n= is the number of episodes or pairs. * marks a "
        "score on another list than the first model's, because the model's own split differs."
    )
    for one in all_results:
        pairs = [(score, one.score(score.split, score.key)) for score in lists]
        cells = ["-" if own is None else own.percent + _other_list(own, s) for s, own in pairs]
        table.add(one.model.name, *cells)
    for name, group in _by_seed(all_results):
        cells = []
        for score in lists:
            _, mean, interval = _over_seeds(group, score)
            cells.append(mean if mean == "-" else f"{mean} ({interval})")
        table.add(f"mean of {len(group)} seeds: {name}", *cells)
    return table


def result_tables(all_results: Sequence[ModelResults], tests: Sequence[PairedTest]) -> list[Table]:
    """All tables of an evaluation but the comparison with published accuracies."""
    closest = primary(all_results)
    tables = [
        scores_table(all_results) if len(all_results) > 1 else protocols_table(closest),
        seeds_table(all_results),
        ways_table(all_results),
        alphabets_table(all_results),
        *(confusions_table(closest, results) for results in closest.confused_lists),
        reliability_table(closest) if closest.model.trained is not None else None,
        paired_table(tests) if tests else None,
    ]
    return [table for table in tables if table is not None]


def published_tables(all_results: Sequence[ModelResults]) -> Iterator[Table]:
    """The scores beside published accuracies, one table per protocol, best first."""
    for protocol, rows in comparison(one.compared for one in all_results).items():
        yield comparison_table(protocol, rows)


def protocols_table(model_results: ModelResults) -> Table:
    """Every list of one model except the way curves, with its protocol."""
    model = model_results.model
    table = Table(
        f"{model.name}, trained on {model.trained_on}, tested on {model_results.dataset.source} "
        f"images, split {model_results.split}",
        ["task", ">accuracy %", ">n", "protocol"],
        note="In parentheses: 95% interval.",
        key="scores",
    )
    for score in model_results.scores:
        if score.series not in CURVES:
            table.add(score.name, score.percent, f"{score.n:,}", score.details)
    for name, value in model_results.summary.items():
        table.add(name, f"{value:.4g}", "-", "summary metric")
    return table


def scores_table(all_results: Sequence[ModelResults]) -> Table:
    """Every list except the way curves, with a column per model."""
    names = [f">{one.model.name}" for one in all_results]
    table = Table("Accuracy, % (95% interval)", ["task", ">n", *names], key="scores")
    by_key = [{(score.split, score.key): score for score in one.scores} for one in all_results]
    for key in dict.fromkeys(key for scores in by_key for key in scores):
        same = [scores.get(key) for scores in by_key]
        first = next(score for score in same if score is not None)
        if first.series in CURVES:
            continue
        cells = ["-" if one is None else one.percent + _other_list(one, first) for one in same]
        table.add(first.name, f"{first.n:,}", *cells)
        if first.auroc is not None:
            cells = ["-" if one is None else one.auroc_and_eer for one in same]
            table.add(f"{first.name}, AUROC and EER", f"{first.n:,}", *cells)
    for name in all_results[0].summary:
        table.add(name, "-", *(f"{one.summary[name]:.4g}" for one in all_results))
    table.note = (
        "n=: a slow model answers only the first n episodes of a list. "
        "*: not the list of the first model, because the model's own split differs."
    )
    if ("test", "lake_runs") in by_key[0]:
        table.note += f" Lake's runs: {LAKE_RUNS_ARE}, so easier than within-alphabet episodes."
    return table


def _other_list(score: Score, first: Score) -> str:
    if score.n != first.n:
        return f" n={score.n:,}"
    return " *" if score.digest != first.digest else ""


def _by_seed(all_results: Sequence[ModelResults]) -> Iterator[tuple[str, list[ModelResults]]]:
    """Yield each setting of which two seeds or more finished, with a network per seed."""
    groups: dict[tuple[tuple[str, str], str], dict[int | None, ModelResults]] = {}
    for one in all_results:
        if one.model.finished and (setting := one.model.setting) is not None:
            # Of a seed that was run twice, the first counts.
            group = groups.setdefault((setting, one.split), {})
            group.setdefault(one.model.metadata.get("seed"), one)
    for ((name, _), split), by_seed in groups.items():
        if len(by_seed) > 1:
            yield f"{name}, split {split}", [*by_seed.values()]


def _over_seeds(group: Sequence[ModelResults], score: Score) -> tuple[list[float], str, str]:
    """The accuracies of all seeds on a list in %, their mean and its interval; "-" of one seed."""
    found = [one.score(score.split, score.key) for one in group]
    values = [100 * one.value for one in found if one is not None]
    if len(values) < 2:
        return values, "-", "-"
    mean, low, high = mean_interval(values)
    return values, f"{mean:.2f}", f"{max(low, 0):.2f}-{min(high, 100):.2f}"


def seeds_table(all_results: Sequence[ModelResults]) -> Table | None:
    """Mean, standard deviation and interval over seeds; None without two seeds of one setting."""
    table = Table(
        "Accuracy over seeds, %",
        ["setting", "task", ">seeds", ">mean", ">95% interval", ">std", "each seed"],
        note="95% interval of the mean by Student's t.",
        key="seeds",
    )
    unfinished = [one.model.name for one in all_results if not one.model.finished]
    if unfinished:
        table.note += f" Left out, not finished: {', '.join(unfinished)}."
    for name, group in _by_seed(all_results):
        for score in group[0].scores:
            if score.series in CURVES:
                continue
            values, mean, interval = _over_seeds(group, score)
            spread = "-" if mean == "-" else f"{stdev(values):.2f}"
            each = ", ".join(f"{value:.2f}" for value in values)
            table.add(name, score.name, str(len(values)), mean, interval, spread, each)
    return table if table.rows else None


def ways_table(all_results: Sequence[ModelResults]) -> Table:
    """Accuracy against the number of ways, on test and training alphabets."""
    lines = {
        f">{one.model.name}, {name}": line
        for one in all_results
        for series, name in CURVES.items()
        if (line := one.curve(series))
        and (series == WAY_CURVE_TEST or one.model.trained is not None)
    }
    n = sorted({score.n for line in lines.values() for score in line.values()})
    counts = " or ".join(f"{count:,}" for count in n)
    table = Table(
        f"Accuracy vs. number of ways, across alphabets, % (95% interval), n={counts}",
        [">ways", *lines, ">chance"],
        key="accuracy_vs_way",
    )
    for way in sorted({way for line in lines.values() for way in line}):
        cells = [line[way].percent if way in line else "-" for line in lines.values()]
        table.add(str(way), *cells, f"{100 / way:.2f}")
    return table


def alphabets_table(all_results: Sequence[ModelResults]) -> Table:
    """The within-alphabet accuracy of each alphabet."""
    way = all_results[0].results["within_alphabet"].task.way
    table = Table(
        f"Within-alphabet {way}-way accuracy by alphabet, % (95% interval)",
        ["alphabet", *(f">{one.model.name}" for one in all_results)],
        key="per_alphabet",
    )
    by_name = [{score.name: score.percent for score in one.alphabets} for one in all_results]
    for name in dict.fromkeys(name for cells in by_name for name in cells):
        table.add(name, *(cells.get(name, "-") for cells in by_name))
    return table


def confusions_table(
    model_results: ModelResults, results: EpisodeResults, count: int = 10
) -> Table:
    """The pairs of classes that a model confuses most often on a list."""
    names = model_results.dataset.class_names
    table = Table(
        f"Most frequent confusions of {model_results.model.name}, {results.task.title}",
        ["class", "class", ">times", ">of", ">%"],
        note="times: episodes where one was predicted for the other; of: episodes that ask for "
        "one of them, with both among the supports; "
        "%: times of these, by the lower bound of whose 95% interval the pairs are ranked.",
        key=f"confusions_{results.task.key}",
    )
    for one in confusions(results, model_results.dataset.classes)[:count]:
        share = f"{100 * one.times / one.n:.0f}"
        table.add(names[one.first], names[one.second], str(one.times), str(one.n), share)
    return table


def reliability_table(model_results: ModelResults) -> Table:
    """How often the best class is right where its probability is this high."""
    parts = {
        "validation": model_results.validation.results[0],
        "test": model_results.results["within_alphabet"],
    }
    table = Table(
        f"Reliability of the probabilities of {model_results.model.name}, %",
        ["set", ">probability", ">n", ">mean probability", ">right"],
        note=f"Softmax of the scores divided by {model_results.temperature:.4g}, the temperature "
        "with the least cross-entropy on the validation episodes.",
        key="reliability",
    )
    for name, results in parts.items():
        logits = results.scores.double() / model_results.temperature
        best, right = logits.softmax(1).max(1).values, results.is_correct.double()
        for low, high in pairwise((0.0, *_PROBABILITIES, 1.0 + 1e-9)):
            chosen = (best >= low) & (best < high)
            if n := int(chosen.sum()):
                table.add(
                    name, f"{100 * low:.0f}-{100 * high:.0f}", f"{n:,}",
                    f"{100 * float(best[chosen].mean()):.1f}",
                    f"{100 * float(right[chosen].mean()):.1f}",
                )  # fmt: skip
    return table


def paired_table(tests: Sequence[PairedTest]) -> Table:
    """The first model against each other model."""
    table = Table(
        "Paired tests, two-sided",
        ["list", "models", ">difference, points", ">discordant", ">n", ">p"],
        note="discordant: episodes that only the first, and only the second model got right. Signs "
        "of runs are flipped where a list has runs; elsewhere McNemar's exact test.",
        key="paired_tests",
    )
    for one in tests:
        table.add(
            one.key, f"{one.first} - {one.second}", f"{100 * one.difference:+.2f}",
            f"{one.only_first} : {one.only_second}", f"{one.n:,}",
            "< 0.0001" if one.p < 1e-4 else f"{one.p:.4f}",
        )  # fmt: skip
    return table
