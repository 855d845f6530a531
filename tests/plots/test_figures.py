"""Every plot of a validation and of an evaluation is saved, and one that fails costs no other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from eval_models import COMPUTE, PROTOCOLS, network
from matplotlib.figure import Figure
from PIL import Image

from siamese_oneshot.data.augmentation import Augmentation
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.baselines import PixelNearestNeighbor
from siamese_oneshot.evaluation.model_evaluation import (
    EvaluatedModel,
    ModelResults,
    TaskProvider,
    evaluate_model,
)
from siamese_oneshot.plots import figures
from siamese_oneshot.plots.figures import evaluation_figures, save_figures, validation_figures
from siamese_oneshot.utils.hardware import can_fork, shared_empty

SHARED = {"accuracy_vs_way", "mistakes", "confusions", "per_alphabet", "verification_scores"}


def episodes(model_results: ModelResults) -> set[str]:
    """Koch's episodes have a correct and a wrong one, or one of them."""
    correct = model_results.results["koch_protocol"].is_correct
    known = {"episode_correct": bool(correct.any()), "episode_wrong": not bool(correct.all())}
    return {name for name, exists in known.items() if exists}


def test_a_network_has_every_plot_and_one_that_fails_is_named(
    task_provider: TaskProvider,
    dataset: CharacterDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such luck")

    for name in ("draw_mistakes", "draw_confusions"):  # few, because the layout of many is slow
        monkeypatch.setattr(figures, name, partial(getattr(figures, name), count=2))
    protocols = replace(PROTOCOLS, rotated_few_shot_episodes=5)  # images that no plot shows
    provider = replace(task_provider, protocols=protocols, _made={})
    results = evaluate_model(network(), provider, COMPUTE)
    saved = save_figures(evaluation_figures([results], dataset), tmp_path)
    assert set(saved) == SHARED | episodes(results) | {"filters"}
    for name, path in saved.items():
        assert path == tmp_path / f"{name}.png"
        with Image.open(path) as image:
            assert min(image.size) > 100
    monkeypatch.setattr(figures, "draw_mistakes", fail)
    trained, sampler = results.model.trained, SimpleNamespace(augmentation=Augmentation())
    assert trained is not None
    made = validation_figures(
        dataset, results.validation, trained.network, sampler, dataset.indices()
    )
    expected = (SHARED - {"mistakes"}) | {"episode", "filters", "augmentations"}
    assert set(save_figures(made, tmp_path)) == expected
    assert "the plot mistakes cannot be made: no such luck" in caplog.text
    made = validation_figures(dataset, results.validation, trained.network, None, dataset.indices())
    made = dict(made)
    assert not {"augmentations", "attention"} & set(made)
    texts = [text.get_text() for axes in made["accuracy_vs_way"]().axes for text in axes.texts]
    assert not any("Koch" in text for text in texts), "published accuracies are of tests"
    looks = torch.rand(5, 4, 4)
    made = validation_figures(
        dataset, results.validation, trained.network, None, dataset.indices(), looks
    )
    _, *supports = dict(made)["attention"]().axes
    where = ["1st ✗: predicted", "✓: the right class"]
    assert all(text in axes.get_title() for text, axes in zip(where, supports, strict=True))


def test_a_baseline_has_those_that_need_no_network(
    task_provider: TaskProvider, dataset: CharacterDataset
) -> None:
    pixels = EvaluatedModel("pixels", PixelNearestNeighbor(), 16)
    results = evaluate_model(pixels, task_provider, COMPUTE)
    assert set(dict(evaluation_figures([results], dataset))) == SHARED | episodes(results)


@pytest.mark.parametrize("threads", [1, 3])
def test_several_processes_draw_and_one_that_fails_does_not_end_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, threads: int
) -> None:
    drawn = shared_empty((6,), torch.int64).zero_()

    def draw(number: int) -> Figure:
        drawn[number] += 1
        if number in (0, 3):
            raise RuntimeError(f"number {number}")
        return Figure((1, 1))

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        saved = save_figures(((f"f{i}", partial(draw, i)) for i in range(6)), tmp_path / "plots")
    finally:
        torch.set_num_threads(before)
    assert list(saved) == ["f1", "f2", "f4", "f5"]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        f"f{i}.png" for i in (1, 2, 4, 5)
    ]
    for name in ("f0", "f3"):
        assert f"the plot {name} cannot be made: number {name[1]}" in caplog.text
    assert len(caplog.records) == 2


@pytest.mark.skipif(not can_fork(), reason="processes fork")
def test_processes_leave_no_files_but_plots(tmp_path: Path) -> None:
    """One is killed while it writes, and Matplotlib makes a folder where it finds none."""
    code = """if True:
        import os, signal, sys, time, torch
        from functools import partial
        from pathlib import Path
        from siamese_oneshot.plots import figures
        from siamese_oneshot.utils.io import atomic_write
        torch.set_num_threads(2)
        here, draw = os.getpid(), partial(figures.draw_filters, torch.rand(2, 1, 3, 3))
        def save(figure, path):
            with atomic_write(path) as file:
                if os.getpid() != here:
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(1)
        figures.save = save
        folder = Path(sys.argv[1]) / "plots"
        print(*figures.save_figures([(name, draw) for name in "abc"], folder))
    """
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = os.environ | {"TMPDIR": str(temporary), "MPLCONFIGDIR": "/dev/null/x"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["a", "b", "c"]
    files = {path.name for path in (tmp_path / "plots").iterdir()}
    assert files == {"a.png", "b.png", "c.png"}
    assert run.stderr.count("Matplotlib created a temporary cache directory") == 1, run.stderr
    assert not list(temporary.iterdir())
