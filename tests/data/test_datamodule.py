"""The data module: shapes, pixels, the same numbers whatever the workers, inside Lightning too."""

from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device
from torch.utils.data import DataLoader

from siamese_oneshot.data import datamodule
from siamese_oneshot.data.batches import EpisodeBatches, PairBatches
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.distort import Distortion, Warp, distort
from siamese_oneshot.data.exam import ExamSize
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.data.source import Glyphs, Loaded
from siamese_oneshot.data.splice import spliced
from siamese_oneshot.errors import UserError

SIZE = ExamSize(pairs=30, validation_runs=3, test_runs=3, across=10, way=5)
ALWAYS = Distortion(probability=1.0, elastic=1.0)


@pytest.fixture
def asked(drawings, monkeypatch):
    """The tiny drawings in place of every source; what was asked of it."""
    calls = []

    def load_source(*args):
        calls.append(args)
        return Loaded(drawings, None, ("tiny",))

    monkeypatch.setattr(datamodule, "load_source", load_source)
    return calls


@pytest.fixture
def make(asked):
    def build(batches, seed=0, **settings):
        data = OneShotDataModule(batches, size=16, seed=seed, exam=SIZE, **settings)
        data.setup("fit")
        return data

    return build


def plain(drawings, positions):
    return drawings.pixels[positions].unsqueeze(-3).float() / 255


def test_loaded_once_with_the_settings_given(asked):
    glyphs = Glyphs(alphabets=3)
    data = OneShotDataModule(
        PairBatches(4, 2), 16, 0, "omniglot", "root", False, "glyphs", glyphs=glyphs, exam=SIZE,
        on_bad="stop",
    )  # fmt: skip
    assert asked == []
    data.prepare_data()
    for stage in ("fit", "validate", "test"):
        data.setup(stage)
    assert asked == [("omniglot", 105, glyphs, "root", False, "glyphs", "stop")]
    assert data.loaded.warnings == ("tiny",)


def test_alphabets_held_out_of_a_split_that_names_its_own_are_refused(make):
    with pytest.raises(UserError, match=r"data\.held_out=Greek: data\.split=shares itself"):
        make(EpisodeBatches(2, 3, 2, 40), source="glyphs", split="shares", held_out=["Greek"])


def test_alphabets_held_out_of_omniglot_are_forgotten_where_glyphs_take_its_place(make):
    data = make(EpisodeBatches(2, 3, 2, 40), source="omniglot", held_out=["Greek"])
    assert data.drawings.source == "glyphs"
    assert data.held_out is None


def test_a_split_of_omniglot_is_refused_for_other_drawings(make):
    with pytest.raises(
        UserError, match=r"data\.split=koch: .* data\.source=glyphs .* by data\.spl"
    ):
        make(EpisodeBatches(2, 3, 2, 40), source="glyphs", split="koch")


def test_what_repeats_only_when_small_is_in_its_part(drawings, monkeypatch):
    pixels = drawings.pixels.clone()
    pixels[3] = pixels[0]
    pixels[0, :2, :2], pixels[3, :2, :2] = torch.tensor([[[0, 8], [0, 0]], [[8, 0], [0, 0]]])
    pixels[-1] = pixels[-2]
    changed = Loaded(replace(drawings, pixels=pixels.to(torch.uint8)), None)
    monkeypatch.setattr(datamodule, "load_source", lambda *args: changed)
    data = OneShotDataModule(PairBatches(4, 2), size=8, seed=0, exam=SIZE)
    data.setup()
    assert torch.equal(data.drawings.pixels[0], data.drawings.pixels[3])
    parts = torch.cat([data.parts.train, data.parts.validation, data.parts.test])
    assert set(range(len(drawings))) - set(parts.tolist()) == {len(drawings) - 1}


def test_each_stage_reads_its_own_part(drawings, make):
    data = make(EpisodeBatches(2, 3, 2, 40))
    train = torch.cat([plan.positions.flatten() for plan in data.train_dataloader()])
    valid = torch.cat(list(data.val_dataloader()))
    test = torch.cat(list(data.test_dataloader()))
    assert set(drawings.alphabets[train].tolist()) == {0, 1}
    assert set(drawings.alphabets[valid].tolist()) == {2}
    assert set(drawings.alphabets[test].tolist()) == {3}
    assert torch.equal(valid, data.validation.positions)
    assert torch.equal(test, data.test.positions)


def test_exam_pictures_come_by_once_plain_and_in_chunks(drawings, make):
    data = make(PairBatches(4, 2, distortion=ALWAYS), chunk=7)
    sizes = []
    for loader in (data.val_dataloader(), data.test_dataloader()):
        for batch in loader:
            positions, pictures = data.on_after_batch_transfer(batch, 0)
            assert torch.equal(positions, batch)
            assert torch.equal(pictures, plain(drawings, batch))
            sizes.append(len(batch))
    assert max(sizes) == 7
    assert sum(sizes) == len(data.validation.positions) + len(data.test.positions)


@pytest.mark.parametrize("distortion", [None, ALWAYS])
def test_a_batch_of_pairs(drawings, make, distortion):
    data = make(PairBatches(6, 3, distortion=distortion))
    plans = list(data.train_dataloader())
    assert len(plans) == 3
    for plan in plans:
        first, second, same = data.on_after_batch_transfer(plan, 0)
        assert first.shape == second.shape == (6, 1, 16, 16)
        assert first.dtype == second.dtype == torch.float32
        assert torch.equal(same, plan.same)
        for side, pictures in enumerate((first, second)):
            assert 0 <= pictures.min() <= pictures.max() <= 1 + 1e-5
            expected = plain(drawings, plan.positions[side])
            assert torch.equal(pictures, expected) == (distortion is None)
            if distortion is None:
                continue
            for k in range(6):  # each by its own draw, one picture at a time
                warp = Warp(plan.matrix[side, k][None], plan.bend[side, k][None])
                torch.testing.assert_close(pictures[k], distort(expected[k][None], warp)[0])


@pytest.mark.parametrize("distortion", [None, ALWAYS])
def test_a_batch_of_alphabets(drawings, make, distortion):
    data = make(EpisodeBatches(2, 4, 3, 2, turns=False, distortion=distortion))
    plan = next(iter(data.train_dataloader()))
    (pictures,) = data.on_after_batch_transfer(plan, 0)
    assert pictures.shape == (2, 4, 3, 1, 16, 16)
    assert 0 <= pictures.min() <= pictures.max() <= 1 + 1e-5
    expected = plain(drawings, plan.positions)
    assert torch.equal(pictures, expected) == (distortion is None)
    if distortion is not None:
        for place in [(0, 0, 1), (1, 3, 2), (1, 0, 0)]:
            warp = Warp(plan.matrix[place][None], plan.bend[place][None])
            alone = distort(expected[place][None], warp)[0]
            torch.testing.assert_close(pictures[place], alone)


def test_turned_alphabets_are_the_pictures_turned(drawings, make):
    data = make(EpisodeBatches(2, 4, 3, 2, turns=True))
    plan = data.stream[1]
    (pictures,) = data.on_after_batch_transfer(plan, 0)
    expected = plain(drawings, plan.positions)
    for alphabet in range(2):
        near = [
            (pictures[alphabet] - torch.rot90(expected[alphabet], quarter, (-2, -1))).abs().max()
            for quarter in range(4)
        ]
        assert min(near) < 1e-3


@pytest.mark.parametrize("turns", [False, True])
def test_mirrored_alphabets_are_whole_ones(drawings, make, turns):
    data = make(EpisodeBatches(2, 4, 3, 2, turns=turns, mirrors=True))
    found = set()
    for number in range(12):
        plan = data.stream[number]
        (pictures,) = data.on_after_batch_transfer(plan, 0)
        expected = plain(drawings, plan.positions)
        for alphabet in range(2):
            near = {
                (mirrored, quarter): float(
                    (pictures[alphabet] - torch.rot90(shown, quarter, (-2, -1))).abs().max()
                )
                for mirrored, shown in enumerate((expected[alphabet], expected[alphabet].flip(-1)))
                for quarter in range(4)
            }
            best = min(near, key=near.__getitem__)
            assert near[best] < 1e-3
            found.add(best)
    assert {mirrored for mirrored, _ in found} == {0, 1}
    assert ({quarter for _, quarter in found} == {0}) is not turns


@pytest.mark.parametrize("lightning", [False, True])
def test_spliced_alphabets_are_joined_before_they_are_turned(drawings, make, lightning):
    data = make(EpisodeBatches(2, 4, 3, 2, spliced=1))
    seen = set()
    for number in range(12):
        plan = data.stream[number]
        moved = move_data_to_device(plan, "cpu") if lightning else plan  # as it does
        (pictures,) = data.on_after_batch_transfer(moved, 0)
        first, other = plain(drawings, plan.positions), plain(drawings, plan.splice.other)
        normals = plan.splice.normal[:, None].expand(2, 12, 2).flatten(0, 1)
        joined = spliced(first.flatten(0, 2), other.flatten(0, 2), normals).view_as(first)
        for alphabet, shown in enumerate(joined):
            near = [
                (pictures[alphabet] - torch.rot90(shown, quarter, (-2, -1))).abs().max()
                for quarter in range(4)
            ]
            assert min(near) < 1e-3
            unlike = not torch.equal(shown, first[alphabet])
            assert unlike is (alphabet == 0)
            seen.add((unlike, bool(plan.splice.normal[alphabet].any())))
    assert seen == {(True, True), (True, False), (False, False)}


def test_workers_change_nothing_and_the_seed_everything(make):
    batches = {}
    for name, seed, workers in (("none", 3, 0), ("two", 3, 2), ("other", 4, 0)):
        data = make(PairBatches(6, 4, distortion=ALWAYS), seed, workers=workers)
        loader = data.train_dataloader()
        assert loader.num_workers == workers
        batches[name] = torch.stack(
            [torch.stack(data.on_after_batch_transfer(plan, 0)[:2]) for plan in loader]
        )
    assert torch.equal(batches["none"], batches["two"])
    assert not torch.equal(batches["none"], batches["other"])


def test_runs_of_every_seed_face_the_same_exam(make):
    def digests(data):
        exams = (data.validation, data.test)
        return [d for e in exams for d in (e.pairs.digest, *(q.trials.digest for q in e.questions))]

    one, other = make(PairBatches(4, 2), 0), make(PairBatches(4, 2), 1)
    assert digests(one) == digests(other)
    data = OneShotDataModule(PairBatches(4, 2), 16, 0, exam=replace(SIZE, seed=1))
    data.setup()
    assert not set(digests(data)) & set(digests(one))


class Listener(pl.LightningModule):
    """Keeps the batches that Lightning brings."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.exam = [], []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch)
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        self.exam.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_lightning_brings_batch_after_batch_of_all_epochs(drawings, make, tmp_path, accumulate):
    data, listener = make(PairBatches(4, 3, distortion=ALWAYS)), Listener()
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        default_root_dir=tmp_path, accumulate_grad_batches=accumulate,
    )  # fmt: skip
    trainer.fit(listener, datamodule=data)
    assert len(listener.seen) == 6
    for number, (first, second, same) in enumerate(listener.seen):
        plan = data.stream[number]
        expected = data.pictures(plan.positions, plan.matrix, plan.bend)
        assert torch.equal(torch.stack([first, second]), expected)
        assert torch.equal(same, plan.same)
    positions = torch.cat([batch[0] for batch in listener.exam])
    assert torch.equal(positions, data.validation.positions.repeat(2))
    pictures = torch.cat([batch[1] for batch in listener.exam])
    assert torch.equal(pictures, plain(drawings, positions))
    assert isinstance(trainer.train_dataloader, DataLoader)


@pytest.mark.omniglot
def test_real_pictures_are_gathered_as_they_are(omniglot, monkeypatch):
    monkeypatch.setattr(
        datamodule, "load_source", lambda *args: Loaded(omniglot.drawings, omniglot.runs)
    )
    batches = EpisodeBatches(4, 20, 3, 2, turns=False)
    data = OneShotDataModule(batches, size=105, seed=0, exam=replace(SIZE, way=20))
    data.setup()
    (pictures,) = data.on_after_batch_transfer(data.stream[0], 0)
    positions = data.stream[0].positions
    assert pictures.shape == (4, 20, 3, 1, 105, 105)
    assert torch.equal(pictures[..., 0, :, :], omniglot.drawings.pixels[positions] / 255)
    assert torch.isin(positions, data.parts.train).all()
    assert data.test.questions[0].key == "official"


def test_mixed_in_alphabets_train_and_are_asked_about_nowhere(drawings, make):
    few = Glyphs(alphabets=2, characters=(4, 5), drawers=2)
    data = make(EpisodeBatches(2, 4, 2, 6, turns=False, generated=1.0), generated=few)
    assert data.warnings == ("tiny", "2 generated alphabets were trained on, too")
    assert len(data.everything) > len(data.drawings) == len(drawings)
    for plan in data.train_dataloader():
        made = plan.positions >= len(drawings)
        assert made.flatten(1).all(1).sum() == 1
        (pictures,) = data.on_after_batch_transfer(plan, 0)
        shown = data.everything.pixels[plan.positions].unsqueeze(-3).float() / 255
        assert torch.equal(pictures, shown)
    for exam in (data.validation, data.test):
        assert int(exam.positions.max()) < len(drawings)


def test_generated_alphabets_that_no_batch_takes_are_named_and_not_counted(drawings, make):
    few = Glyphs(alphabets=8, characters=(3, 4), drawers=2)
    data = make(EpisodeBatches(2, 4, 2, 6, generated=1.0), generated=few)
    sizes = Roster(data.everything, torch.arange(len(drawings), len(data.everything))).classes_in
    able = int((sizes == 4).sum())
    assert 0 < able < 8
    assert f"{able} generated alphabets were trained on, too" in data.warnings
    assert data.learned.endswith(f", and {able} generated alphabets")
    said = f"not trained on, as too small for a batch: {8 - able} of the generated alphabets"
    assert said in data.warnings


@pytest.mark.parametrize(
    ("batches", "there"),
    [
        (EpisodeBatches(2, 4, 2, 6, generated=0.5), 0),
        (EpisodeBatches(2, 4, 2, 6), 3),
        (PairBatches(8, 5), 3),
    ],
)
def test_generated_alphabets_for_nothing_are_refused_before_any_are_drawn(batches, there):
    said = rf"alphabets={there} .*batches\.generated={batches.generated:g} .*: set both, or neither"
    with pytest.raises(UserError, match=said):
        OneShotDataModule(batches, 16, 0, generated=Glyphs(alphabets=there), exam=SIZE)
