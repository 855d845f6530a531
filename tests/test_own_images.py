"""From a folder of own images to a trained network, its evaluation, its file and its answers."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image, ImageDraw

from siamese_oneshot import evaluate
from siamese_oneshot import export as exporting
from siamese_oneshot.classifier import OneShotClassifier
from siamese_oneshot.cli import run_hydra
from siamese_oneshot.export import export
from siamese_oneshot.runs.checkpoint import load_trained
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.train import train_task
from siamese_oneshot.utils.errors import UserError

SMALL = [
    "data=folder", "logger=none", "data.eval.way=4", "data.eval.n_pairs=40",
    "data.eval.val_runs=2", "data.eval.test_runs=2", "data.eval.koch_runs=2",
    "data.eval.n_cross_episodes=20",
]  # fmt: skip
TRAIN = [
    "model.encoder.image_size=24", "model.encoder.filters=[8,8,8]",
    "model.encoder.embedding_dim=16",
    "sampler.n_alphabets=2", "sampler.n_way=4", "sampler.n_drawers=2", "sampler.steps_per_epoch=2",
    "trainer.max_steps=2", "trainer.precision=32-true", "test=false", "trainer.accelerator=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four alphabets of five characters, three images each: blue strokes on gray, 60 × 50."""
    root = tmp_path_factory.mktemp("own")
    for alphabet in range(4):
        for character in range(5):
            folder = root / f"alphabet {alphabet}" / f"sign {character}"
            folder.mkdir(parents=True)
            for drawer in range(3):
                image = Image.new("RGB", (60, 50), (200, 200, 195))
                pen = ImageDraw.Draw(image)
                start = (10 + 9 * character, 8 + drawer)
                ends = [start, (12 + 8 * alphabet, 40), (45, 25 + drawer)]
                pen.line(ends, fill=(20, 30, 120), width=3)
                image.save(folder / f"{drawer}.png")
    return root


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    line = [*SMALL, *TRAIN, f"data.root={images}", f"hydra.run.dir={folder}"]
    run_hydra(train_task, argv=line)
    return folder


def test_training_on_a_folder(run: Path, images: Path) -> None:
    result = read_result(run)
    assert (result.status, result.data_source) == ("finished", "folder")
    assert result.data_split == "ratio_60_20_20"
    assert any("not Omniglot" in warning for warning in result.warnings)
    trained = load_trained(run)
    assert trained.metadata["data_source"] == "folder"
    assert trained.metadata["split"] == "ratio_60_20_20"
    assert trained.metadata["data_digest"] == result.data_digest
    assert trained.threshold is not None
    assert trained.reject_threshold is not None


def test_evaluation_export_and_answers(
    run: Path, images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = [str(run), *SMALL, f"data.root={images}", "plots=false", "mnist=false",
            "accelerator=cpu", "precision=32-true", "protocols.max_way=3",
            "protocols.episodes_per_way=5", "protocols.few_shot_episodes=5"]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["evaluate", *line])
    evaluate.main()
    found = json.loads((run / "evaluation" / "evaluation.json").read_text())
    (model,) = found["models"]
    assert model["split"] == "ratio_60_20_20"
    assert found["data_digest"] == read_result(run).data_digest

    card = export(run, tmp_path / "mine.safetensors")
    text = card.read_text()
    assert str(tmp_path) not in text  # no folder of this machine
    assert "data.root=" not in text
    assert "hydra.run.dir" not in text
    (within,) = [one for one in model["scores"] if one["key"] == "within_alphabet"]
    assert f"| {100 * within['value']:.2f} (" in text
    mine = load_trained(tmp_path / "mine.safetensors")
    assert mine.threshold == pytest.approx(model["threshold"], rel=0.01)  # rounded weights
    assert mine.reject_threshold == pytest.approx(model["reject_threshold"], rel=0.01)
    assert mine.card["trained_on"] == model["trained_on"]
    shown = replace(mine, metadata={**mine.metadata, "split": "background"})
    shared = "whose alphabets are also training alphabets"
    assert shared not in text
    assert shared in exporting.card_page(shown, "mine.safetensors")

    classifier = OneShotClassifier.from_pretrained(tmp_path / "mine.safetensors")
    for sign in sorted((images / "alphabet 0").iterdir()):
        classifier.add_class(sign.name, [sign / "1.png"])
    (prediction,) = classifier.predict([images / "alphabet 0" / "sign 3" / "1.png"])
    assert prediction.best.name == "sign 3"  # nothing is nearer than the very same image
    assert sum(one.probability for one in prediction.classes) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("checkpoints/best.ckpt", "x.safetensors", "is not a run's folder"),
        ("", "x.ckpt", "must end in"),
    ],
)
def test_what_cannot_be_exported(
    run: Path, tmp_path: Path, name: str, file: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        export(run / name, tmp_path / file)


def test_where_nothing_can_be_written_it_is_said(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("siamese_oneshot.export.export", full)
    monkeypatch.setattr("sys.argv", ["export", str(run), str(tmp_path / "mine.safetensors")])
    with pytest.raises(SystemExit, match=r"Error: .*No space left"):
        exporting.main()


def test_the_runs_folder_has_its_configuration_resolved(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    config = OmegaConf.create(text)
    assert "${" not in text
    assert config.data.sampler == config.sampler
    assert config.data.root is not None
