"""Models by name, folder and file; ensembles and test-time augmentation."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from eval_models import COMPUTE, make_run, network

from siamese_oneshot.comparison.models import BASELINES, combine, find_models
from siamese_oneshot.evaluation.evaluator import best_reject_threshold
from siamese_oneshot.evaluation.metrics import best_temperature
from siamese_oneshot.evaluation.model_evaluation import TaskProvider, evaluate_model
from siamese_oneshot.utils.errors import UserError


def test_baselines_and_packaged_networks_by_name() -> None:
    models = find_models(list(BASELINES))
    assert [one.name for one in models] == [
        "chance", "pixel 1-NN, L1", "pixel 1-NN, L2", "pixel 1-NN, cosine",
        "modified Hausdorff distance",
    ]  # fmt: skip
    assert all(one.trained is None and one.size == 105 and one.setting is None for one in models)
    assert models[4].max_episodes == 400
    assert [one.scorer.metric for one in models[1:4]] == ["l1", "l2", "cosine"]  # type: ignore
    default, dense = find_models(["pretrained", "dense"])
    assert (default.name, default.size, default.setting[0]) == ("pretrained", 52, "pretrained")
    assert (dense.name, dense.size, dense.setting[0]) == ("dense", 32, "dense")


def test_a_sweep_stands_for_its_runs(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path / "sweep" / f"{seed}_seed={seed}", seed, status="finished")
    models = find_models([str(tmp_path / "sweep"), "chance"])
    assert [one.name for one in models] == ["0_seed=0", "1_seed=1", "chance"]
    assert [one.setting and one.setting[0] for one in models] == ["tiny", "tiny", None]
    assert models[0].setting == models[1].setting
    first, second = (one.scorer.state_dict() for one in models[:2])  # type: ignore[attr-defined]
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for sweep in ("lr/seeds", "small/seeds"):
        for seed in (0, 1):
            make_run(tmp_path / sweep / f"{seed}_seed={seed}", seed, status="finished")
    found = find_models([str(tmp_path / "lr/seeds"), str(tmp_path / "small/seeds")])
    assert [one.name for one in found] == [
        "lr/seeds/0_seed=0", "lr/seeds/1_seed=1", "small/seeds/0_seed=0", "small/seeds/1_seed=1",
    ]  # fmt: skip
    files = [
        f"{tmp_path}/{sweep}/seeds/0_seed=0/checkpoints/best.ckpt" for sweep in ("lr", "small")
    ]
    assert [one.name for one in find_models(files)] == [
        f"{sweep}/seeds/0_seed=0/checkpoints/best.ckpt" for sweep in ("lr", "small")
    ]
    run = str(Path(files[0]).parents[1])
    assert [one.name for one in find_models(files[:1])] == ["best"]
    assert [one.name for one in find_models([run, files[0], run])] == ["0_seed=0"]


def test_of_a_sweep_only_what_has_finished_is_compared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, status in enumerate(("finished", "pruned", "interrupted", "")):
        make_run(tmp_path / "sweep" / str(number), number, status=status)
    assert [one.name for one in find_models([str(tmp_path / "sweep")])] == ["0"]
    assert [line.split(" is left out: ")[1] for line in caplog.messages] == [
        "pruned", "interrupted", "unfinished",
    ]  # fmt: skip
    named = find_models([str(tmp_path / "sweep" / str(number)) for number in range(4)])
    assert [(one.name, one.finished) for one in named] == [
        ("0", True), ("1", False), ("2", False), ("3", False),
    ]  # fmt: skip
    shutil.rmtree(tmp_path / "sweep/0")
    with pytest.raises(UserError, match="no finished run"):
        find_models([str(tmp_path / "sweep")])


def test_seeds_of_one_setting_differ_in_nothing_else(tmp_path: Path) -> None:
    make_run(tmp_path / "a", 0, ["optimizer.lr=1e-3", "logger=none", "data.root=here"])
    make_run(tmp_path / "b", 1, ["logger.wandb.mode=offline", "optimizer.lr=1e-3"])
    make_run(tmp_path / "c", 2, ["optimizer.lr=1e-1"])
    first, second, other = (find_models([str(tmp_path / name)])[0].setting for name in "abc")
    assert first == second != other
    assert first[0] == "tiny optimizer.lr=1e-3"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["hausdorf"], "Did you mean hausdorff"),
        (["outputs/nowhere"], "There is no network outputs/nowhere"),
        (["outputs/nowhere*"], r"There is no network outputs/nowhere\*\. Name"),
        ([], "models is empty"),
        (["."], "holds no run"),
    ],
)
def test_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        find_models(wanted)


def test_test_time_augmentation_is_of_networks_only() -> None:
    found = find_models(["pretrained", "dense", "pixel-l2"])
    three_views = [True, False]  # the packaged networks as they are
    for tta, ends in ((None, ("", "")), (True, ("", " with TTA")), (False, (" without TTA", ""))):
        *networks, baseline = combine(found, tta)
        assert [one.name for one in networks] == ["pretrained" + ends[0], "dense" + ends[1]]
        assert baseline.name == "pixel 1-NN, L2"
        expected = three_views if tta is None else [tta, tta]
        assert [one.scorer.tta for one in networks] == expected  # type: ignore[attr-defined]
        for one, own in zip(networks, three_views, strict=True):
            one.scorer.tta = own  # type: ignore[attr-defined]
        assert networks[0].setting[0] == "pretrained"


def test_thresholds_of_another_scorer_are_not_used(task_provider: TaskProvider) -> None:
    """Under test_only, changed networks and ensembles get theirs as baselines do."""
    provider = replace(task_provider, forced_split="test_only", _made={})
    own = {"threshold": 7.0, "reject_threshold": 8.0, "temperature": 9.0}
    found = []
    for seed in (0, 1):
        one = network(f"net{seed}", seed, data_source="elsewhere")
        found.append(replace(one, trained=replace(one.trained, **own)))
    unchanged, _, ensemble = (
        evaluate_model(one, provider, COMPUTE) for one in combine(found, False, ensemble=True)
    )
    (changed,) = (evaluate_model(one, provider, COMPUTE) for one in combine(found[:1], True))
    assert unchanged.test.verification.threshold == 7.0
    assert (unchanged.reject_threshold, unchanged.temperature) == (8.0, 9.0)
    assert unchanged.warning is None
    for results in (ensemble, changed):
        episodes = results.validation.results[0]
        answers = episodes.task.episodes.answers
        threshold = results.validation.verification.threshold
        assert results.test.verification.threshold == threshold != 7.0
        assert results.reject_threshold == best_reject_threshold(episodes) != 8.0
        assert results.temperature == best_temperature(episodes.scores, answers) != 9.0
        assert results.warning == (
            f"{results.model.name} has no thresholds and temperature of its own: they were chosen "
            "on other pairs and episodes of the images that are tested"
        )


def test_an_ensemble_is_one_more_model(tmp_path: Path) -> None:
    for seed in range(3):
        make_run(tmp_path / f"seed{seed}", seed, status="finished")
    *members, whole = combine(find_models([str(tmp_path), "chance"]), ensemble=True)
    assert [one.name for one in members] == ["seed0", "seed1", "seed2", "chance"]
    assert (whole.name, whole.n_networks, whole.setting) == ("ensemble of 3", 3, None)
    assert whole.parameters == 3 * members[0].parameters > 0
    assert whole.metadata["split"] == "ratio_60_20_20"


@pytest.mark.parametrize(
    "other",
    [
        {"val_alphabets": ["Greek"]},
        {"split": "koch"},
        {"data_source": "omniglot"},
        {"stroke_alphabets": ["Greek"]},
    ],
)
def test_an_ensemble_is_of_networks_that_learned_from_the_same(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    make_run(tmp_path / "a", 0, status="finished")
    make_run(tmp_path / "b", 1, status="finished", **other)
    (value,) = other.values()
    with pytest.raises(UserError, match="ensemble=true needs networks of one") as caught:
        combine(find_models([str(tmp_path)]), ensemble=True)
    assert str(value) in str(caught.value)


def test_an_ensemble_of_one_or_of_two_sizes_is_refused() -> None:
    for names, message in (("chance", "two or more networks"), ("dense", "one image size")):
        with pytest.raises(UserError, match=message):
            combine(find_models(["pretrained", names]), ensemble=True)
