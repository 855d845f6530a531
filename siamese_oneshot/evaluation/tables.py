"""What an evaluation prints: figures, ways, alphabets, seeds, paired tests, and the literature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from siamese_oneshot.data.tasks import WAY_CURVE_TEST, WAY_CURVE_TRAIN
from siamese_oneshot.evaluation.confusions import confusions
from siamese_oneshot.evaluation.evaluator import Outcome
from siamese_oneshot.evaluation.intervals import mean_interval
from siamese_oneshot.evaluation.literature import ComparedModel, comparison, table_of, training_data
from siamese_oneshot.evaluation.results import EpisodeResults
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import PairedTest
from siamese_oneshot.evaluation.training_setting import Setting
from siamese_oneshot.utils.tables import Table

_NOT_LISTED = (WAY_CURVE_TEST, WAY_CURVE_TRAIN)  # they have a table of their own


def trained_on(outcome: Outcome) -> str:
    """What a model was trained on, in words."""
    trained = outcome.model.trained
    if trained is None:
        return "nothing"
    split = str(trained.metadata.get("split"))
    source = str(trained.metadata.get("data_source", "omniglot"))
    return training_data(source, split, trained.metadata.get("trained_on") or "")


def figures_table(outcomes: Sequence[Outcome]) -> Table:
    """Every list but the ways: a column for each model, or protocols in full for one alone."""
    rows: dict[tuple[str, str], Score] = {}
    for outcome in outcomes:
        for score in outcome.scores:
            if score.series not in _NOT_LISTED:
                rows.setdefault((score.split, score.key), score)
    if len(outcomes) == 1:
        (outcome,) = outcomes
        title = f"{outcome.model.name}: {trained_on(outcome)}, split {outcome.split}"
        table = Table(title, ["score", ">% (95% interval)", ">trials", "protocol"])
        for score in rows.values():
            table.add(score.name, score.percent, f"{score.n:,}", score.protocol)
        return table
    names = [outcome.model.name for outcome in outcomes]
    table = Table("% (95% interval)", ["score", *(f">{name}" for name in names)])
    for key, first in rows.items():
        cells = []
        for outcome in outcomes:
            mine = {(score.split, score.key): score for score in outcome.scores}.get(key)
            cells.append("-" if mine is None else mine.percent + _unlike(mine, first))
        table.add(f"{first.name}, {first.n:,} episodes", *cells)
    table.note = (
        "n: a model whose comparisons are slow answers the first episodes of a list. "
        "*: another list than the first column's, by the rule of the model's own split."
    )
    return table


def _unlike(mine: Score, first: Score) -> str:
    """How a model's list differs from the one that its row begins with."""
    if mine.n != first.n:
        return f" n={mine.n:,}"
    return " *" if mine.digest != first.digest else ""


def settings_table(outcomes: Sequence[Outcome]) -> Table | None:
    """Several seeds of one setting: mean, spread and interval; None where there are none."""
    groups: dict[tuple[Setting, str], dict[int | None, Outcome]] = {}
    unfinished = []
    for outcome in outcomes:
        setting, seed = outcome.model.setting, outcome.model.metadata.get("seed")
        if not outcome.model.finished:
            unfinished.append(outcome.model.name)
        elif setting is not None:  # a seed that was run twice counts once
            groups.setdefault((setting, outcome.split), {}).setdefault(seed, outcome)
    table = Table(
        "several runs of one setting, %",
        ["setting", "score", ">runs", ">mean", ">95% interval", ">spread", "each"],
        note="95% interval of the mean by Student's t; spread: standard deviation over runs.",
    )
    if unfinished:
        table.note += f" Left out, as they have not finished: {', '.join(unfinished)}."
    for (setting, split), members in groups.items():
        if len(members) > 1:
            _add_setting(table, f"{setting}, split {split}", list(members.values()))
    return table if table.rows else None


def _add_setting(table: Table, name: str, members: Sequence[Outcome]) -> None:
    from statistics import stdev

    for score in members[0].scores:
        if score.series in _NOT_LISTED:
            continue
        same = [
            mine.value
            for member in members
            for mine in member.scores
            if (mine.split, mine.key) == (score.split, score.key)
        ]
        mean, low, high = mean_interval(same)
        table.add(
            name,
            score.name,
            str(len(same)),
            f"{100 * mean:.2f}",
            f"{100 * max(low, 0):.2f}-{100 * min(high, 1):.2f}",
            f"{100 * stdev(same):.2f}",
            ", ".join(f"{100 * value:.2f}" for value in same),
        )


def ways_table(outcomes: Sequence[Outcome]) -> Table:
    """The replication's figure in numbers, for test and training alphabets."""
    lines = {
        f">{outcome.model.name}, {whose}": dict(curve(outcome, key))
        for outcome in outcomes
        for key, whose in ((WAY_CURVE_TEST, "test"), (WAY_CURVE_TRAIN, "training"))
        if key == WAY_CURVE_TEST or outcome.model.trained is not None
    }
    lines = {heading: line for heading, line in lines.items() if line}
    episodes = sorted({score.n for line in lines.values() for score in line.values()})
    table = Table(
        "accuracy against ways, across alphabets, % (95% interval), "
        f"{' or '.join(f'{count:,}' for count in episodes)} episodes each",
        ["ways", *lines, ">1 / ways"],
    )
    for way in sorted({way for line in lines.values() for way in line}):
        cells = [line[way].percent if way in line else "-" for line in lines.values()]
        table.add(str(way), *cells, f"{100 / way:.2f}")
    return table


def curve(outcome: Outcome, key: str) -> list[tuple[int, Score]]:
    """(ways, score) of ``WAY_CURVE_TEST`` or ``WAY_CURVE_TRAIN``."""
    return [
        (score.way, score)
        for score in outcome.scores
        if score.series == key and score.way is not None
    ]


def alphabets_table(outcomes: Sequence[Outcome]) -> Table:
    """The within-alphabet by alphabet."""
    names = {score.name: None for outcome in outcomes for score in outcome.alphabets}
    table = Table(
        "within-alphabet by alphabet, % (95% interval)",
        ["alphabet", *(f">{outcome.model.name}" for outcome in outcomes)],
    )
    for name in names:
        found = [{one.name: one for one in outcome.alphabets}.get(name) for outcome in outcomes]
        table.add(name, *("-" if one is None else one.percent for one in found))
    return table


def confusions_table(outcome: Outcome, results: EpisodeResults, count: int = 10) -> Table:
    """The classes that one model takes for each other most often in a list."""
    names, wrong = outcome.dataset.class_names, results.n - results.correct
    table = Table(
        f"mixed up in {results.task.title}: classes that {outcome.model.name} takes for each other",
        ["class", "class", ">times", ">of", ">% of all mistakes, added up"],
        note="Times: episodes of either that it was taken for the other in, of those that held both.",
    )
    so_far = 0
    for one in confusions(results, outcome.dataset.classes)[:count]:
        so_far += one.times
        share = f"{100 * so_far / wrong:.1f}"
        table.add(names[one.one], names[one.other], str(one.times), str(one.chances), share)
    return table


def paired_table(tests: Sequence[PairedTest]) -> Table:
    """Each paired test in a row."""
    table = Table(
        "paired tests (McNemar's, exact, two-sided)",
        ["list", "models", ">difference", ">right alone", ">trials", ">p"],
    )
    for one in tests:
        table.add(
            one.key,
            f"{one.one} - {one.other}",
            f"{100 * one.difference:+.2f}",
            f"{one.only_one} : {one.only_other}",
            f"{one.n:,}",
            "< 0.0001" if one.p < 1e-4 else f"{one.p:.4f}",
        )
    return table


def compared_models(outcomes: Sequence[Outcome]) -> list[ComparedModel]:
    """The models as they stand in a comparison with the literature."""
    return [ComparedModel(one.model.name, trained_on(one), one.scores) for one in outcomes]


def literature_tables(outcomes: Sequence[Outcome]) -> Iterator[Table]:
    """Ours beside the published numbers, a table for each protocol, best first."""
    for title, rows in comparison(compared_models(outcomes)).items():
        yield table_of(title, rows)
