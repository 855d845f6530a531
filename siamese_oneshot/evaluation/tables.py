"""The tables of an evaluation: scores, seeds, ways, alphabets, confusions and paired tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import stdev

from siamese_oneshot.data.tasks import WAY_CURVE_TEST, WAY_CURVE_TRAIN
from siamese_oneshot.evaluation.evaluated_model import Setting
from siamese_oneshot.evaluation.evaluator import EpisodeResults, confusions
from siamese_oneshot.evaluation.model_evaluation import ModelResults, primary
from siamese_oneshot.evaluation.published import comparison, comparison_table
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import PairedTest, mean_interval
from siamese_oneshot.utils.tables import Table

CURVES = {WAY_CURVE_TEST: "test", WAY_CURVE_TRAIN: "training"}


def result_tables(all_results: Sequence[ModelResults], tests: Sequence[PairedTest]) -> list[Table]:
    """All tables of an evaluation but the comparison with published accuracies."""
    closest = primary(all_results)
    tables = [
        scores_table(all_results),
        seeds_table(all_results),
        ways_table(all_results),
        alphabets_table(all_results),
        *(confusions_table(closest, results) for results in closest.confused_lists),
        paired_table(tests) if tests else None,
    ]
    return [table for table in tables if table is not None]


def published_tables(all_results: Sequence[ModelResults]) -> Iterator[Table]:
    """The scores beside published accuracies, one table per protocol, best first."""
    for protocol, rows in comparison(
        model_results.compared for model_results in all_results
    ).items():
        yield comparison_table(protocol, rows)


def scores_table(all_results: Sequence[ModelResults]) -> Table:
    """Every list except the way curves: with protocols for one model, else a column per model."""
    rows: dict[tuple[str, str], Score] = {}
    for model_results in all_results:
        for score in model_results.scores:
            if score.series not in CURVES:
                rows.setdefault((score.split, score.key), score)
    if len(all_results) == 1:
        (model_results,) = all_results
        title = f"{model_results.model.name}, trained on {model_results.model.trained_on}"
        table = Table(
            f"{title}, split {model_results.split}",
            ["task", ">accuracy %", ">n", "protocol"],
            note="In parentheses: 95% interval.",
            key="scores",
        )
        for score in rows.values():
            protocol = "; ".join(filter(None, [score.auroc_and_eer, score.protocol]))
            table.add(score.name, score.percent, f"{score.n:,}", protocol)
        for name, value in model_results.summary.items():
            table.add(name, f"{value:.4g}", "-", "summary metric")
        return table
    names = [model_results.model.name for model_results in all_results]
    headings = ["task", ">n", *(f">{name}" for name in names)]
    table = Table("Accuracy, % (95% interval)", headings, key="scores")
    for key, first in rows.items():
        same = [
            next((one for one in model_results.scores if (one.split, one.key) == key), None)
            for model_results in all_results
        ]
        cells = ["-" if one is None else one.percent + _other_list(one, first) for one in same]
        table.add(first.name, f"{first.n:,}", *cells)
        if first.auroc is not None:
            details = ["-" if one is None else one.auroc_and_eer for one in same]
            table.add(f"{first.name}, AUROC and EER", f"{first.n:,}", *details)
    for name in all_results[0].summary:
        table.add(
            name, "-", *(f"{model_results.summary[name]:.4g}" for model_results in all_results)
        )
    table.note = (
        "n=: a slow model answers only the first n episodes of a list. "
        "*: not the list of the first model, because the model's own split differs."
    )
    return table


def _other_list(score: Score, first: Score) -> str:
    if score.n != first.n:
        return f" n={score.n:,}"
    return " *" if score.digest != first.digest else ""


def seeds_table(all_results: Sequence[ModelResults]) -> Table | None:
    """Mean, standard deviation and interval over seeds; None without two seeds of one setting."""
    groups: dict[tuple[Setting, str], dict[int | None, ModelResults]] = {}
    unfinished = []
    for model_results in all_results:
        setting, seed = model_results.model.setting, model_results.model.metadata.get("seed")
        if not model_results.model.finished:
            unfinished.append(model_results.model.name)
        elif setting is not None:  # of a seed that was run twice, the first counts
            groups.setdefault((setting, model_results.split), {}).setdefault(seed, model_results)
    table = Table(
        "Accuracy over seeds, %",
        ["setting", "task", ">seeds", ">mean", ">95% interval", ">std", "each seed"],
        note="95% interval of the mean by Student's t.",
        key="seeds",
    )
    if unfinished:
        table.note += f" Left out, not finished: {', '.join(unfinished)}."
    for (setting, split), by_seed in groups.items():
        if len(by_seed) < 2:
            continue
        seeds = [{(one.split, one.key): one.value for one in s.scores} for s in by_seed.values()]
        for score in next(iter(by_seed.values())).scores:
            if score.series in CURVES:
                continue
            key = score.split, score.key
            values = [one[key] for one in seeds if key in one]
            mean, low, high = mean_interval(values)
            table.add(
                f"{setting}, split {split}", score.name, str(len(values)), f"{100 * mean:.2f}",
                f"{100 * max(low, 0):.2f}-{100 * min(high, 1):.2f}", f"{100 * stdev(values):.2f}",
                ", ".join(f"{100 * value:.2f}" for value in values),
            )  # fmt: skip
    return table if table.rows else None


def ways_table(all_results: Sequence[ModelResults]) -> Table:
    """Accuracy against the number of ways, on test and training alphabets."""
    lines = {
        f">{model_results.model.name}, {name}": line
        for model_results in all_results
        for series, name in CURVES.items()
        if (line := model_results.curve(series))
        and (series == WAY_CURVE_TEST or model_results.model.trained is not None)
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
    names = {score.name: None for model_results in all_results for score in model_results.alphabets}
    way = all_results[0].results["within_alphabet"].task.way
    table = Table(
        f"Within-alphabet {way}-way accuracy by alphabet, % (95% interval)",
        ["alphabet", *(f">{model_results.model.name}" for model_results in all_results)],
        key="per_alphabet",
    )
    by_name = [
        {score.name: score for score in model_results.alphabets} for model_results in all_results
    ]
    for name in names:
        table.add(name, *(one[name].percent if name in one else "-" for one in by_name))
    return table


def confusions_table(
    model_results: ModelResults, results: EpisodeResults, count: int = 10
) -> Table:
    """The pairs of classes that a model confuses most often on a list."""
    names, wrong = model_results.dataset.class_names, results.n - results.correct
    table = Table(
        f"Most frequent confusions of {model_results.model.name}, {results.task.title}",
        ["class", "class", ">times", ">of", ">cum. %"],
        note="times: episodes where one was predicted for the other; of: episodes containing both; "
        "cum. %: cumulative share of all errors.",
        key=f"confusions_{results.task.key}",
    )
    total = 0
    for one in confusions(results, model_results.dataset.classes)[:count]:
        total += one.times
        share = f"{100 * total / wrong:.1f}"
        table.add(names[one.first], names[one.second], str(one.times), str(one.n), share)
    return table


def paired_table(tests: Sequence[PairedTest]) -> Table:
    """McNemar's test of the first model against each other model."""
    table = Table(
        "McNemar's exact test, two-sided",
        ["list", "models", ">difference, points", ">discordant", ">n", ">p"],
        note="discordant: episodes that only the first, and only the second model got right.",
        key="paired_tests",
    )
    for one in tests:
        table.add(
            one.key,
            f"{one.first} - {one.second}",
            f"{100 * one.difference:+.2f}",
            f"{one.only_first} : {one.only_second}",
            f"{one.n:,}",
            "< 0.0001" if one.p < 1e-4 else f"{one.p:.4f}",
        )
    return table
