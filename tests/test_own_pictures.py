"""From a folder of own pictures to a trained network, its evaluation, its file and its answers."""

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
from siamese_oneshot.cli import run_hydra
from siamese_oneshot.errors import UserError
from siamese_oneshot.export import export
from siamese_oneshot.recogniser import Recogniser
from siamese_oneshot.tracking.result import read_result
from siamese_oneshot.tracking.trained import load_trained
from siamese_oneshot.train import train_task

SMALL = [
    "data=folder", "logger=none", "data.exam.way=4", "data.exam.pairs=40",
    "data.exam.validation_runs=2", "data.exam.test_runs=2", "data.exam.paper_runs=2",
    "data.exam.across=20",
]  # fmt: skip
TRAIN = [
    "model.encoder.size=24", "model.encoder.filters=[8,8,8,8]", "model.encoder.units=16",
    "batches.alphabets=2", "batches.characters=4", "batches.drawers=2", "batches.steps=2",
    "trainer.max_steps=2", "trainer.precision=32-true", "test=false", "trainer.accelerator=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four alphabets of five characters, three pictures each: blue strokes on grey, 60 × 50."""
    root = tmp_path_factory.mktemp("own")
    for alphabet in range(4):
        for character in range(5):
            folder = root / f"alphabet {alphabet}" / f"sign {character}"
            folder.mkdir(parents=True)
            for drawer in range(3):
                picture = Image.new("RGB", (60, 50), (200, 200, 195))
                pen = ImageDraw.Draw(picture)
                ends = [
                    (10 + 9 * character, 8 + drawer),
                    (12 + 8 * alphabet, 40),
                    (45, 25 + drawer),
                ]
                pen.line(ends, fill=(20, 30, 120), width=3)
                picture.save(folder / f"{drawer}.png")
    return root


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    line = [*SMALL, *TRAIN, f"data.root={pictures}", f"hydra.run.dir={folder}"]
    run_hydra(train_task, argv=line)
    return folder


def test_training_on_a_folder(run: Path, pictures: Path) -> None:
    result = read_result(run)
    assert (result.status, result.data_source, result.data_split) == (
        "finished",
        "folder",
        "shares",
    )
    assert any("not Omniglot" in warning for warning in result.warnings)
    trained = load_trained(run)
    assert trained.facts["data_source"] == "folder"
    assert trained.facts["split"] == "shares"
    assert trained.facts["data_digest"] == result.data_digest
    assert trained.threshold is not None
    assert trained.unknown_below is not None


def test_evaluation_export_and_answers(
    run: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"evaluate .*run first"):
        export(run, tmp_path / "mine.safetensors")
    line = [str(run), *SMALL, f"data.root={pictures}", "pictures=false", "mnist=false",
            "accelerator=cpu", "precision=32-true", "protocols.most_ways=3",
            "protocols.ways_trials=5", "protocols.few_shot_trials=5"]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["evaluate", *line])
    evaluate.main()
    found = json.loads((run / "evaluation" / "evaluation.json").read_text())
    (subject,) = found["subjects"]
    assert subject["split"] == "shares"
    assert found["data_digest"] == read_result(run).data_digest

    card = export(run, tmp_path / "mine.safetensors")
    text = card.read_text()
    assert str(tmp_path) not in text  # no folder of this machine
    assert "data.root=" not in text
    assert "hydra.run.dir" not in text
    (yardstick,) = [one for one in subject["scores"] if one["key"] == "yardstick"]
    assert f"| {100 * yardstick['value']:.2f} |" in text
    mine = load_trained(tmp_path / "mine.safetensors")
    assert (mine.threshold, mine.unknown_below) == (subject["threshold"], subject["unknown_below"])
    assert mine.card["trained_on"] == subject["trained_on"]
    blind = replace(mine, facts={**mine.facts, "split": "background"})
    seen = "both chosen on validation, whose alphabets trained, too"
    assert (seen in text, seen in exporting._page(blind, card)) == (False, True)
    scores = [{**one, "digest": one["digest"][::-1]} for one in subject["scores"]]
    for other, said in (
        ({"data_digest": "other"}, "own data_digest: run"),
        ({"subjects": [{**subject, "split": "koch"}]}, "own split: run"),
        ({"subjects": [{**subject, "scores": scores}]}, "own test/yardstick, test/across"),
    ):
        (run / "evaluation" / "evaluation.json").write_text(json.dumps({**found, **other}))
        with pytest.raises(UserError, match=said):
            export(run, tmp_path / "other.safetensors")
    for shape in ([], {**found, "subjects": [1]}):
        (run / "evaluation" / "evaluation.json").write_text(json.dumps(shape))
        with pytest.raises(UserError, match="is not the evaluation of one run"):
            export(run, tmp_path / "other.safetensors")
    (run / "evaluation" / "evaluation.json").write_text(json.dumps(found))

    recogniser = Recogniser.load(tmp_path / "mine.safetensors")
    for sign in sorted((pictures / "alphabet 0").iterdir()):
        recogniser.enrol(sign.name, [sign / "1.png"])
    (ranking,) = recogniser.rank([pictures / "alphabet 0" / "sign 3" / "1.png"])
    assert ranking.best.name == "sign 3"  # nothing is nearer than the very same picture
    assert sum(one.probability for one in ranking.classes) == pytest.approx(1)


def test_a_file_of_another_kind(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must end in"):
        export(run, tmp_path / "mine.ckpt")


@pytest.mark.parametrize("place", ["checkpoints/best.ckpt", "nowhere"])
def test_what_is_no_runs_folder_is_not_exported(run: Path, tmp_path: Path, place: str) -> None:
    with pytest.raises(UserError, match=r"is not a run's folder: .* after evaluate"):
        export(run / place, tmp_path / "mine.safetensors")


def test_where_nothing_can_be_written_it_is_said(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("siamese_oneshot.export.export", full)
    monkeypatch.setattr("sys.argv", ["export", str(run), str(tmp_path / "mine.safetensors")])
    with pytest.raises(SystemExit, match=r"Error: .*No space left"):
        exporting.main()


def test_the_runs_folder_has_its_configuration_resolved(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    config = OmegaConf.create(text)
    assert "${" not in text
    assert config.data.batches == config.batches
    assert config.data.root is not None
