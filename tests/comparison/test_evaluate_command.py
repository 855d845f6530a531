"""The command from its line to its files, on synthetic alphabets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from eval_models import make_run
from tiny_network import NETWORK, checkpoint

from siamese_oneshot import evaluate
from siamese_oneshot.comparison import runner
from siamese_oneshot.comparison.models import combine, find_models
from siamese_oneshot.comparison.runner import _folders, _output_dir
from siamese_oneshot.evaluation import model_evaluation
from siamese_oneshot.runs.checkpoint import load_trained
from siamese_oneshot.runs.evaluation_record import read_evaluation

SMALL = [
    "data=synthetic", "data.synthetic.n_alphabets=5", "data.synthetic.n_characters=[6,7]",
    "data.synthetic.n_drawers=4", "data.eval.way=5", "data.eval.n_pairs=40",
    "data.eval.test_runs=6", "data.eval.val_runs=6", "data.eval.koch_runs=2",
    "data.eval.n_cross_episodes=40", "protocols.max_way=4", "protocols.episodes_per_way=20",
    "protocols.few_shot_episodes=20", "mnist=false", "logger=none", "accelerator=cpu",
    "precision=32-true",
]  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, *line: str) -> None:
    monkeypatch.setattr("sys.argv", ["evaluate", *line, *SMALL])
    evaluate.main()


def test_a_sweep_and_a_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        make_run(tmp_path / "my sweep" / f"{seed}_seed={seed}", seed, status="finished")
    run(monkeypatch, "my sweep", "chance", "output_dir=made here", "plots=false")
    record = read_evaluation(tmp_path / "made here" / "evaluation.json")
    assert [(one.name, one.kind) for one in record.models] == [
        ("0_seed=0", "network"), ("1_seed=1", "network"), ("chance", "baseline"),
    ]  # fmt: skip
    assert record.data_source == "synthetic"
    assert any("not Omniglot" in warning for warning in record.warnings)
    shown = capsys.readouterr().out
    for model in record.models:
        assert {score.key for score in model.scores} >= {
            "one_shot", "within_alphabet", "cross_alphabet", "koch_protocol", "verification",
            "open_set", "way_curve_test_04",
        }  # fmt: skip
        assert model.split == "ratio_60_20_20"
        scores = {score.key: score for score in model.scores}
        for key in ("one_shot", "within_alphabet"):
            wrong = scores[key].n - scores[key].correct
            assert wrong == sum(pair["times"] for pair in model.confusions[key])
        assert f"{100 * scores['cross_alphabet'].value:.2f}" in shown
    assert {(one["first"], one["second"]) for one in record.paired_tests} == {
        ("0_seed=0", "1_seed=1"), ("0_seed=0", "chance"),
    }  # fmt: skip
    page = (tmp_path / "made here" / "evaluation.md").read_text()
    assert "Accuracy over seeds" in page
    assert page.count("Most frequent confusions of 0_seed=0") == 2
    assert "Koch et al." not in page  # published accuracies are of Omniglot and MNIST
    assert not (tmp_path / "outputs").exists()


def test_all_alphabets_are_tested_where_the_network_learned_from_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["data.split=test_only", "output_dir=out", "plots=false"]
    run(monkeypatch, "dense", "chance", *line)
    network, chance = read_evaluation(tmp_path / "out" / "evaluation.json").models
    own = load_trained("dense")
    assert (network.threshold, network.reject_threshold, network.temperature) == (
        own.threshold, own.reject_threshold, own.temperature,
    )  # fmt: skip
    for model in (network, chance):
        assert model.split == "test_only"
        assert {score.split for score in model.scores} == {"test"}
        assert "way_curve_train_04" not in {score.key for score in model.scores}
        assert len(model.alphabets) == 5
    learned = make_run(tmp_path / "run", 0)
    with pytest.raises(SystemExit):
        run(monkeypatch, f"models={learned}", "split=test_only", *line[1:])
    assert "which split=test_only tests" in capsys.readouterr().err


def test_models_are_refused_before_any_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    learned = make_run(tmp_path / "run", 0)
    evaluated: list[object] = []
    monkeypatch.setattr(runner, "evaluate_model", lambda *given: evaluated.append(given))
    with pytest.raises(SystemExit):
        run(monkeypatch, "chance", str(learned), "split=test_only", "plots=false")
    assert "run was trained or selected" in capsys.readouterr().err
    assert not evaluated
    assert not (tmp_path / "outputs").exists(), "nor is there an empty folder"


def test_a_packaged_network_writes_into_no_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dense").mkdir()
    models = find_models(["dense"])
    assert _output_dir(None, ["dense"], models).parent == tmp_path / "outputs" / "evaluate"
    assert _output_dir(None, ["./dense"], models) == tmp_path / "dense" / "evaluation"
    assert _folders(["dense", "chance", "./dense"]) == [Path("dense")]


def test_a_runs_own_folder_keeps_its_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_run(tmp_path / "run", 0)
    run(monkeypatch, f"models={folder}", "plots=false")
    path = folder / "evaluation" / "evaluation.json"
    (model,) = read_evaluation(path).models
    assert model.metadata["experiment"] == "tiny"
    assert len(model.predictions["koch_protocol"]["is_correct"]) == 2 * 5
    before = path.read_text()
    run(monkeypatch, f"models={folder}", "plots=false", "tta=true")  # goes elsewhere
    assert path.read_text() == before
    other = read_evaluation(folder / "evaluation_tta" / "evaluation.json")
    assert [one.name for one in other.models] == ["run with TTA"]


@pytest.mark.parametrize(
    ("own", "tta", "folder"),
    [
        (False, None, "evaluation"),
        (False, False, "evaluation"),
        (False, True, "evaluation_tta"),
        (True, None, "evaluation"),
        (True, True, "evaluation"),
        (True, False, "evaluation_without_tta"),
    ],
)
def test_only_changed_test_time_augmentation_is_evaluated_elsewhere(
    own: bool, tta: bool | None, folder: str, tmp_path: Path
) -> None:
    weights = tmp_path / "checkpoints" / "best.ckpt"
    weights.parent.mkdir()
    torch.save(checkpoint(network={**NETWORK, "tta": own}), weights)
    models = combine(find_models([str(tmp_path)]), tta)
    assert _output_dir(None, [str(tmp_path)], models) == tmp_path / folder


def test_validation_alphabets_that_were_learned_from_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(model_evaluation, "strokes_learned", lambda *_: ["Generated_004"])
    folder = make_run(tmp_path / "run", 0)
    run(monkeypatch, f"models={folder}", "plots=false")
    said = "run learned from Generated_004: its validation scores, thresholds and temperature are "
    assert f"note: {said}not of unseen" in " ".join(capsys.readouterr().out.split())
    record = read_evaluation(folder / "evaluation" / "evaluation.json")
    assert [text for text in record.warnings if text.startswith(said)] == record.warnings[-1:]
    page = (folder / "evaluation" / "evaluation.md").read_text()
    assert page.count("\nNote: run learned from Generated") == 1


def test_without_loggers_and_plots_neither_lightning_nor_matplotlib_is_loaded() -> None:
    heavy = {"pytorch_lightning", "torchmetrics", "matplotlib", "wandb", "torch._dynamo"}
    code = (
        "import sys, siamese_oneshot.comparison.runner as runner\n"
        f"runner.check_loggers({{}}); print({heavy!r} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


STRANGER = '''
import torch
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.episodes import sample_episodes
from siamese_oneshot.data.tasks import EpisodeTask

class Mean:
    """Compares the mean gray value."""
    def embed(self, images):
        return images.flatten(1).mean(1, keepdim=True)
    def score(self, one, other):
        return -(one - other).abs().sum(-1)

def three_way(dataset, split, seed):
    classes = ClassIndex(dataset, split.test_all_drawers)
    rng = torch.Generator().manual_seed(seed)
    yield EpisodeTask("three_way", "3-way", "3-way, own rule", sample_episodes(classes, 12, rng, 3))

def worst_alphabet(results):
    return min(score.value for score in results.alphabets)
'''


def test_a_baseline_a_protocol_and_a_summary_metric_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stranger_eval.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(str(tmp_path))
    run(
        monkeypatch, "mean", "output_dir=here", "plots=false",
        "+baselines.mean={_target_:siamese_oneshot.evaluation.baselines.Baseline,title:mean gray,"
        "scorer:{_target_:stranger_eval.Mean,_partial_:true}}",
        "+data.eval.protocols.three_way={_target_:stranger_eval.three_way,_partial_:true}",
        "+summary_metrics.worst_alphabet={_target_:stranger_eval.worst_alphabet,_partial_:true}",
    )  # fmt: skip
    (model,) = read_evaluation(tmp_path / "here" / "evaluation.json").models
    assert model.name == "mean gray"
    (score,) = [score for score in model.scores if score.key == "three_way"]
    assert (score.way, score.n, score.protocol) == (3, 12, "3-way, own rule")
    assert model.summary == {"worst_alphabet": min(one.value for one in model.alphabets)}
    assert "worst_alphabet" in capsys.readouterr().out
