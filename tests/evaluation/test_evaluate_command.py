"""The command from its line to its files, on generated alphabets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_subjects import a_run

from siamese_oneshot import evaluate
from siamese_oneshot.evaluation.models import find_models
from siamese_oneshot.evaluation.runner import _folder, _folders

SMALL = [
    "data=synthetic", "data.synthetic.n_alphabets=5", "data.synthetic.n_characters=[6,7]",
    "data.synthetic.n_drawers=4", "data.eval.way=5", "data.eval.n_pairs=40", "data.eval.test_runs=6",
    "data.eval.val_runs=6", "data.eval.koch_runs=2", "data.eval.n_cross_episodes=40",
    "protocols.max_way=4", "protocols.episodes_per_way=20", "protocols.few_shot_episodes=20",
    "mnist=false", "logger=none", "accelerator=cpu", "precision=32-true",
]  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, *line: str) -> None:
    monkeypatch.setattr("sys.argv", ["evaluate", *line, *SMALL])
    evaluate.main()


def test_a_sweep_and_a_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        a_run(tmp_path / "my sweep" / f"{seed}_seed={seed}", seed, status="finished")
    run(monkeypatch, "my sweep", "chance", "out=made here", "pictures=false")
    content = json.loads((tmp_path / "made here" / "evaluation.json").read_text())
    names = [one["name"] for one in content["models"]]
    assert names == ["0_seed=0", "1_seed=1", "guessing"]
    assert [one["kind"] for one in content["models"]] == ["network", "network", "baseline"]
    assert content["data_source"] == "synthetic"
    assert any("not Omniglot" in warning for warning in content["warnings"])
    shown = capsys.readouterr().out
    for one in content["models"]:
        assert {score["key"] for score in one["scores"]} >= {
            "one_shot", "within_alphabet", "cross_alphabet", "koch_protocol", "verification", "open_set", "way_curve_test_04",
        }  # fmt: skip
        assert one["split"] == "ratio_60_20_20"
        wrong = {key: score["n"] - score["correct"] for score in one["scores"]
                 if (key := score["key"]) in ("one_shot", "within_alphabet")}  # fmt: skip
        assert wrong == {key: sum(two["times"] for two in mixed) for key, mixed in
                         one["confused_lists"].items()}  # fmt: skip
        (across,) = [score for score in one["scores"] if score["key"] == "cross_alphabet"]
        assert f"{100 * across['value']:.2f}" in shown
    assert {(one["one"], one["other"]) for one in content["paired"]} == {
        ("0_seed=0", "1_seed=1"), ("0_seed=0", "guessing"),
    }  # fmt: skip
    page = (tmp_path / "made here" / "evaluation.md").read_text()
    assert "several runs of one setting" in page
    assert page.count(": classes that 0_seed=0 takes for each other") == 2
    assert "Koch" not in page  # published figures are of Omniglot
    assert not (tmp_path / "outputs").exists()


def test_a_packaged_network_writes_into_no_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dense").mkdir()
    models = find_models(["dense"])
    assert _folder(None, ["dense"], models, 1).parent == tmp_path / "outputs" / "evaluate"
    assert _folder(None, ["./dense"], models, 1) == tmp_path / "dense" / "evaluation"
    assert _folders(["dense", "chance", "./dense"]) == [Path("dense")]


def test_a_runs_own_folder_keeps_its_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = a_run(tmp_path / "run", 0)
    run(monkeypatch, f"run={folder}", "pictures=false")
    content = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    (model,) = content["models"]
    assert model["metadata"]["experiment"] == "tiny"
    assert model["threshold"] < 10
    assert len(model["right"]["koch_protocol"]["answers"]) == 2 * 5
    run(monkeypatch, f"run={folder}", "pictures=false", "views=2")  # stands apart
    assert json.loads((folder / "evaluation" / "evaluation.json").read_text()) == content
    other = json.loads((folder / "evaluation_2_views" / "evaluation.json").read_text())
    assert [one["name"] for one in other["models"]] == ["run, 2 views"]


def test_a_wrong_name_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, "pretraind")
    assert stopped.value.code == 1
    assert "Did you mean pretrained?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
