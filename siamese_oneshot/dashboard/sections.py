"""What the dashboard shows: its sections, each a list of panels over what runs log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import wandb_workspaces.reports.v2 as wr

STEP = "trainer/global_step"
BEST = "best_val/one_shot_accuracy"
SETTINGS = (
    "optimizer.lr",
    "optimizer.weight_decay",
    "model.encoder.embedding_dim",
    "callbacks.ema.decay",
    "seed",
)

Sections = dict[str, tuple[str, list[Any]]]


def sections(settings: Sequence[str] = SETTINGS) -> Sections:
    """By title: what it answers, and its panels.

    Args:
        settings: by dotted path in the configuration, the columns of the parallel coordinates.
    """
    return {
        "Results against the paper": (
            "Accuracy on the test lists, each opened once a run, beside the paper's figures.",
            _results(),
        ),
        "Learning": ("On frozen validation trials, with the 95% interval.", _learning()),
        "Mistakes": ("What the network confuses, on validation trials.", _mistakes()),
        "Speed": ("Images a second, and the share of the time spent waiting.", _speed()),
        "Sweep": ("What each setting did to the best validation score.", _sweep(settings)),
    }


def _results() -> list[Any]:
    return [
        _bars(
            "one-shot, official runs, beside the paper",
            "test/lake_runs_accuracy",
            "published/koch2015_one_shot_accuracy",
        ),
        _bars("points ahead of the paper, one-shot", "delta_vs_koch2015/one_shot"),
        _bars(
            "same or different, beside the paper",
            "test/verification_accuracy",
            "published/koch2015_verification_accuracy",
        ),
        _bars("points ahead of the paper, same or different", "delta_vs_koch2015/verification"),
        _bars("within-alphabet", "test/within_alphabet_accuracy", "test/within_alphabet_low"),
        wr.ScatterPlot(
            title="chosen by validation, tested on official runs",
            x=wr.SummaryMetric(BEST),
            y=wr.SummaryMetric("test/lake_runs_accuracy"),
        ),
        wr.WeavePanelSummaryTable(table_name="comparison", layout=wr.Layout(w=24, h=9)),
    ]


def _learning() -> list[Any]:
    return [
        _lines("one-shot accuracy", "val/one_shot_accuracy"),
        _lines("its 95% interval", "val/one_shot_ci_low", "val/one_shot_ci_high"),
        _lines("verification", "val/verification_accuracy", "val/verification_auroc"),
        _lines("loss and its parts", "train/loss", "train/cross_entropy", "train/l2"),
        _layers("learning rate a layer", "lr"),
        _layers("momentum a layer", "momentum"),
        _layers("gradient norm a layer", "gradient_norm"),
        wr.ScalarChart(
            title="best one-shot accuracy", metric=wr.SummaryMetric(BEST), groupby_aggfunc="max"
        ),
    ]


def _mistakes() -> list[Any]:
    return [
        *(
            _images(name)
            for name in ("trial", "mistakes", "confusions", "pairs", "alphabets", "ways")
        ),
        wr.WeavePanelSummaryTable(table_name="mistakes", layout=wr.Layout(w=24, h=9)),
        *(_images(name) for name in ("filters", "distortions")),
    ]


def _speed() -> list[Any]:
    return [
        _lines("images a second", "speed/images_per_second"),
        _lines("waiting for data, share", "speed/data_wait"),
        _bars("seconds of training", "seconds"),
    ]


def _sweep(settings: Sequence[str]) -> list[Any]:
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(name)) for name in settings]
    columns.append(
        wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(BEST), display_name="validation")
    )
    return [
        wr.ParallelCoordinatesPlot(
            title="settings and validation", columns=columns, layout=wr.Layout(w=24, h=9)
        ),
        wr.ParameterImportancePlot(with_respect_to=BEST, layout=wr.Layout(w=12, h=9)),
        wr.ScatterPlot(
            title=f"{settings[0]} and validation",
            x=wr.Config(settings[0]),
            y=wr.SummaryMetric(BEST),
            layout=wr.Layout(w=12, h=9),
        ),
        wr.RunComparer(diff_only=True, layout=wr.Layout(w=24, h=9)),
    ]


def _lines(title: str, *names: str) -> wr.LinePlot:
    return wr.LinePlot(title=title, x=STEP, y=[*names], title_x="step")


def _layers(title: str, group: str) -> wr.LinePlot:
    return wr.LinePlot(title=title, x=STEP, metric_regex=f"^{group}/", title_x="step")


def _bars(title: str, *names: str) -> wr.BarPlot:
    return wr.BarPlot(title=title, metrics=[wr.SummaryMetric(name) for name in names])


def _images(name: str) -> wr.MediaBrowser:
    return wr.MediaBrowser(title=name, media_keys=[f"images/{name}"], num_columns=1)
