"""The data module: shapes, pixels, the same numbers whatever the workers, inside Lightning too."""

import sys
import weakref
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
import yaml
from generated import made_up_templates
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning_fabric.utilities import move_data_to_device
from torch.utils.data import DataLoader

from siamese_oneshot.data import datamodule, recombined
from siamese_oneshot.data.augmentation import Augmentation, Warp, apply_warp, compose_images
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.datamodule import (
    ImageFolderDataModule,
    OmniglotDataModule,
    OneShotDataModule,
    SyntheticDataModule,
    describe_training_data,
)
from siamese_oneshot.data.samplers import EpisodeSampler, PairSampler
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.data.splits import split_dataset
from siamese_oneshot.data.synthetic import SyntheticConfig
from siamese_oneshot.data.tasks import EvalConfig
from siamese_oneshot.utils.config import conf_dir
from siamese_oneshot.utils.errors import ArgumentError

SIZE = EvalConfig(n_pairs=30, val_runs=3, test_runs=3, n_cross_episodes=10, way=5)
ALWAYS = Augmentation(probability=1.0, elastic=1.0)


@pytest.fixture
def loads(dataset, monkeypatch):
    """The tiny images in place of every source; the calls of `load_source`."""
    calls = []

    def load_source(*args):
        calls.append(args)
        return LoadedData(dataset, None, ("tiny",))

    monkeypatch.setattr(datamodule, "load_source", load_source)
    return calls


@pytest.fixture
def make(loads):
    def build(batches, seed=0, **settings):
        data = OneShotDataModule(sampler=batches, image_size=16, seed=seed, eval=SIZE, **settings)
        data.setup("fit")
        return data

    return build


def plain(dataset, indices):
    return dataset.pixels[indices].unsqueeze(-3).float() / 255


def test_images_in_full_size_are_not_kept(dataset):
    given = []

    def source():
        made = replace(dataset)
        given.append(weakref.ref(made))
        return made

    data = OneShotDataModule(
        sampler=PairSampler(4, 2), image_size=12, source=source, split="ratio_60_20_20", eval=SIZE
    )
    data.setup()
    assert len(given) == 1
    assert given[0]() is None
    assert len(data.dataset) == len(dataset)


def test_loaded_once_with_the_given_settings(loads):
    synthetic = SyntheticConfig(n_alphabets=3)
    data = OneShotDataModule(
        sampler=PairSampler(4, 2), image_size=16, seed=0, source="omniglot", root="root",
        download=False, on_missing="synthetic", on_error="stop", synthetic=synthetic, eval=SIZE,
    )  # fmt: skip
    assert loads == []
    data.prepare_data()
    for stage in ("fit", "validate", "test"):
        data.setup(stage)
    assert loads == [("omniglot", "root", False, "synthetic", "stop", synthetic)]
    replaced = "split ratio_60_20_20 takes the place of lake, which divides Omniglot"
    assert data.warnings == ("tiny", replaced)


def test_validation_alphabets_are_refused_if_the_split_defines_them(make):
    with pytest.raises(ArgumentError, match=r"val_alphabets=Greek: split=ratio_60_20_20 defines"):
        make(
            EpisodeSampler(2, 3, 2, 40),
            source="synthetic",
            split="ratio_60_20_20",
            val_alphabets=["Greek"],
        )


def test_validation_alphabets_of_omniglot_are_ignored_if_it_is_replaced(make):
    data = make(EpisodeSampler(2, 3, 2, 40), source="omniglot", val_alphabets=["Greek"])
    assert data.dataset.source == "synthetic"
    assert data.val_alphabets is None


def test_a_split_of_omniglot_is_refused_for_other_images(make):
    with pytest.raises(ArgumentError, match=r"split=koch: .* are split by ratio_60_20_20"):
        make(EpisodeSampler(2, 3, 2, 40), source="synthetic", split="koch")


def test_what_repeats_only_when_small_is_in_its_part(dataset, monkeypatch):
    pixels = dataset.pixels.clone()
    pixels[3] = pixels[0]
    pixels[0, :2, :2], pixels[3, :2, :2] = torch.tensor([[[0, 8], [0, 0]], [[8, 0], [0, 0]]])
    pixels[-1] = pixels[-2]
    changed = LoadedData(replace(dataset, pixels=pixels.to(torch.uint8)), None)
    monkeypatch.setattr(datamodule, "load_source", lambda *args: changed)
    data = OneShotDataModule(sampler=PairSampler(4, 2), image_size=8, seed=0, eval=SIZE)
    data.setup()
    assert torch.equal(data.dataset.pixels[0], data.dataset.pixels[3])
    parts = torch.cat([data.split.train, data.split.validation, data.split.test])
    assert set(range(len(dataset))) - set(parts.tolist()) == {len(dataset) - 1}


def test_each_stage_reads_its_own_part(dataset, make):
    data = make(EpisodeSampler(2, 3, 2, 40))
    train = torch.cat([spec.indices.flatten() for spec in data.train_dataloader()])
    valid = torch.cat(list(data.val_dataloader()))
    test = torch.cat(list(data.test_dataloader()))
    assert set(dataset.alphabets[train].tolist()) == {0, 1}
    assert set(dataset.alphabets[valid].tolist()) == {2}
    assert set(dataset.alphabets[test].tolist()) == {3}
    assert torch.equal(valid, data.validation.indices)
    assert torch.equal(test, data.test.indices)


def test_eval_tasks_images_come_by_once_plain_and_in_chunks(dataset, make):
    data = make(PairSampler(4, 2, augmentation=ALWAYS), eval_batch_size=7)
    sizes = []
    for loader in (data.val_dataloader(), data.test_dataloader()):
        for batch in loader:
            indices, images = data.on_after_batch_transfer(batch, 0)
            assert torch.equal(indices, batch)
            assert torch.equal(images, plain(dataset, batch))
            sizes.append(len(batch))
    assert max(sizes) == 7
    assert sum(sizes) == len(data.validation.indices) + len(data.test.indices)


@pytest.mark.parametrize("augmentation", [None, ALWAYS])
def test_a_batch_of_pairs(dataset, make, augmentation):
    data = make(PairSampler(6, 3, augmentation=augmentation))
    specs = list(data.train_dataloader())
    assert len(specs) == 3
    for spec in specs:
        first, second, same = data.images_of(spec)
        assert first.shape == second.shape == (6, 1, 16, 16)
        assert first.dtype == second.dtype == torch.float32
        assert torch.equal(same, spec.same)
        for side, images in enumerate((first, second)):
            expected = plain(dataset, spec.indices[side])
            if augmentation is None:
                assert torch.equal(images, expected)
                continue
            for k in range(6):  # each by its own draw, one image at a time
                warp = Warp(spec.warp.matrix[side, k][None], spec.warp.displacement[side, k][None])
                torch.testing.assert_close(images[k], apply_warp(expected[k][None], warp)[0])


@pytest.mark.parametrize("augmentation", [None, ALWAYS])
def test_a_batch_of_alphabets(dataset, make, augmentation):
    data = make(EpisodeSampler(2, 4, 3, 2, random_rot90=False, augmentation=augmentation))
    spec = next(iter(data.train_dataloader()))
    (images,) = data.images_of(spec)
    assert images.shape == (2, 4, 3, 1, 16, 16)
    expected = plain(dataset, spec.indices)
    if augmentation is None:
        assert torch.equal(images, expected)
        return
    for place in [(0, 0, 1), (1, 3, 2), (1, 0, 0)]:
        warp = Warp(spec.warp.matrix[place][None], spec.warp.displacement[place][None])
        alone = apply_warp(expected[place][None], warp)[0]
        torch.testing.assert_close(images[place], alone)


@pytest.mark.parametrize("turns", [False, True])
def test_mirrored_alphabets_are_whole_ones(dataset, make, turns):
    data = make(EpisodeSampler(2, 4, 3, 2, random_rot90=turns, random_hflip=True))
    found = set()
    for number in range(12):
        spec = data.train_batches[number]
        (images,) = data.images_of(spec)
        expected = plain(dataset, spec.indices)
        for alphabet in range(2):
            near = {
                (mirrored, quarter): float(
                    (images[alphabet] - torch.rot90(shown, quarter, (-2, -1))).abs().max()
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
def test_composite_alphabets_are_joined_before_they_are_turned(dataset, make, lightning):
    data = make(EpisodeSampler(2, 4, 3, 2, n_composite=1))
    seen = set()
    for number in range(12):
        spec = data.train_batches[number]
        moved = move_data_to_device(spec, "cpu") if lightning else spec  # as it does
        (images,) = data.images_of(moved)
        first, other = plain(dataset, spec.indices), plain(dataset, spec.composite.other)
        normals = spec.composite.normal[:, None].expand(2, 12, 2).flatten(0, 1)
        joined = compose_images(first.flatten(0, 2), other.flatten(0, 2), normals).view_as(first)
        for alphabet, shown in enumerate(joined):
            near = [
                (images[alphabet] - torch.rot90(shown, quarter, (-2, -1))).abs().max()
                for quarter in range(4)
            ]
            assert min(near) < 1e-3
            unlike = not torch.equal(shown, first[alphabet])
            assert unlike is (alphabet == 0)
            seen.add((unlike, bool(spec.composite.normal[alphabet].any())))
    assert seen == {(True, True), (True, False), (False, False)}


def test_workers_change_nothing_and_the_seed_everything(make):
    batches = {}
    for name, seed, workers in (("none", 3, 0), ("two", 3, 2), ("other", 4, 0)):
        data = make(PairSampler(6, 4, augmentation=ALWAYS), seed, num_workers=workers)
        loader = data.train_dataloader()
        assert loader.num_workers == workers
        batches[name] = torch.stack([torch.stack(data.images_of(spec)[:2]) for spec in loader])
    assert torch.equal(batches["none"], batches["two"])
    assert not torch.equal(batches["none"], batches["other"])


def test_runs_of_every_seed_face_the_same_eval_tasks(make):
    def digests(data):
        return [*data.validation.digests.values(), *data.test.digests.values()]

    one, other = make(PairSampler(4, 2), 0), make(PairSampler(4, 2), 1)
    assert digests(one) == digests(other)
    data = OneShotDataModule(sampler=PairSampler(4, 2), image_size=16, eval=replace(SIZE, seed=1))
    data.setup()
    assert not set(digests(data)) & set(digests(one))


class Listener(pl.LightningModule):
    """Keeps the batches that Lightning brings."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.eval_tasks = [], []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch)
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        self.eval_tasks.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(("source", "expected"), [("omniglot", "there"), ("folder", None)])
def test_strokes_are_looked_for_where_omniglot_is(make, monkeypatch, source, expected):
    roots = []

    def mix_in(dataset, config, training, root):
        roots.append(root)
        return dataset, None, ()

    monkeypatch.setattr(datamodule, "mix_in_synthetic", mix_in)
    make(PairSampler(4, 2), source=source, root="there", split="ratio_60_20_20", on_missing=None)
    assert roots == [expected]


def test_mixed_in_alphabets_train_and_are_asked_about_nowhere(dataset, make):
    few = SyntheticConfig(n_alphabets=2, n_characters=(4, 5), n_drawers=2)
    data = make(
        EpisodeSampler(2, 4, 2, 6, random_rot90=False, n_synthetic=1.0), extra_synthetic=few
    )
    assert data.warnings[::2] == ("tiny", "2 generated alphabets were trained on, too")
    assert len(data._all_images) > len(data.dataset) == len(dataset)
    for spec in data.train_dataloader():
        made = spec.indices >= len(dataset)
        assert made.flatten(1).all(1).sum() == 1
        (images,) = data.images_of(spec)
        shown = data._all_images.pixels[spec.indices].unsqueeze(-3).float() / 255
        assert torch.equal(images, shown)
    for eval_tasks in (data.validation, data.test):
        assert int(eval_tasks.indices.max()) < len(dataset)


def test_whose_strokes_were_trained_on_is_known(make, monkeypatch):
    monkeypatch.setattr(recombined, "templates", made_up_templates)
    config = SyntheticConfig(2, (4, 5), 3, 0, "recombined")
    latin = replace(config, stroke_alphabets=("Latin",))
    sampler = EpisodeSampler(2, 4, 2, 6, n_synthetic=1.0)
    data = make(sampler, extra_synthetic=latin)  # beside images that are generated, too
    assert data.stroke_alphabets == ("Latin",)
    said = ", and 2 generated alphabets, from strokes of 1 background alphabet"
    assert data.training_data.endswith(said)
    data = make(EpisodeSampler(2, 4, 2, 6), synthetic=config)
    assert data.stroke_alphabets == recombined.ALPHABETS
    assert data.training_data.endswith(", from strokes of 8 background alphabets")
    assert make(EpisodeSampler(2, 4, 2, 6)).stroke_alphabets == ()


def test_generated_alphabets_that_are_not_used_are_named(dataset, monkeypatch):
    folder = LoadedData(replace(dataset, source="folder"), None)
    monkeypatch.setattr(datamodule, "load_source", lambda *_: folder)

    def warnings(**settings):
        data = OneShotDataModule(
            sampler=EpisodeSampler(2, 4, 2, 6), image_size=16, eval=SIZE, source="folder",
            split="ratio_60_20_20", **settings,
        )  # fmt: skip
        data.setup()
        return data.warnings

    assert warnings(synthetic=SyntheticConfig(), extra_synthetic={"n_alphabets": 0}) == ()
    (said,) = warnings(synthetic={"style": "splines"})
    assert said.startswith("data.synthetic is not used, since the images are those of folder: ")
    (said,) = warnings(extra_synthetic={"n_alphabets": 0, "style": "splines"})
    assert said == (
        "data.extra_synthetic.style=splines is not used: set data.extra_synthetic.n_alphabets "
        "and sampler.n_synthetic, too"
    )


def test_generated_alphabets_that_no_batch_takes_are_named_and_not_counted(dataset, make):
    few = SyntheticConfig(n_alphabets=8, n_characters=(3, 4), n_drawers=2)
    data = make(EpisodeSampler(2, 4, 2, 6, n_synthetic=1.0), extra_synthetic=few)
    sizes = ClassIndex(
        data._all_images, torch.arange(len(dataset), len(data._all_images))
    ).alphabet_sizes
    able = int((sizes == 4).sum())
    assert 0 < able < 8
    said = f"{able} generated alphabets were trained on, too; {8 - able} were too small for a batch"
    assert said in data.warnings
    assert data.training_data.endswith(f", and {able} generated alphabets")


@pytest.mark.parametrize(
    ("sampler", "n_alphabets"),
    [
        (EpisodeSampler(2, 4, 2, 6, n_synthetic=0.5), 0),
        (EpisodeSampler(2, 4, 2, 6), 3),
        (PairSampler(8, 5), 3),
    ],
)
def test_generated_alphabets_that_no_batch_uses_are_refused_early(sampler, n_alphabets):
    says = "PairSampler mixes none into its batches: choose a loss"
    if isinstance(sampler, EpisodeSampler):
        says = f"the sampler's n_synthetic is {sampler.n_synthetic:g}: set both, .* or neither"
    message = rf"extra_synthetic\.n_alphabets={n_alphabets}: {says}"
    with pytest.raises(ArgumentError, match=message):
        OneShotDataModule(sampler=sampler, extra_synthetic={"n_alphabets": n_alphabets}, eval=SIZE)


TINY = {
    "sampler": PairSampler(4, 5), "image_size": 16, "eval_batch_size": 7,
    "synthetic": SyntheticConfig(5, (5, 6), 4), "eval": SIZE,
}  # fmt: skip


def fit(data, tmp_path, checkpoint=None, **options):
    """The batches that Lightning gives to a module, and the trainer."""
    listener = Listener()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, default_root_dir=tmp_path, enable_checkpointing=False, **options,
    )  # fmt: skip
    trainer.fit(listener, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return listener, trainer


def test_lightning_brings_images_and_labels(dataset, make, tmp_path):
    data = make(PairSampler(4, 3, augmentation=ALWAYS))
    listener, trainer = fit(data, tmp_path, max_epochs=2)
    assert len(listener.seen) == 6
    for number, batch in enumerate(listener.seen):
        assert all(map(torch.equal, batch, data.images_of(data.train_batches[number])))
    indices, images = (torch.cat(column) for column in zip(*listener.eval_tasks, strict=True))
    assert torch.equal(indices, data.validation.indices.repeat(2))
    assert torch.equal(images, plain(dataset, indices))
    assert isinstance(trainer.train_dataloader, DataLoader)


def numbers_of(data, batches):
    """Which batches of the run these are."""
    known = [data.images_of(data.train_batches[k])[0] for k in range(20)]
    return [
        next(k for k, images in enumerate(known) if torch.equal(batch[0], images))
        for batch in batches
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"fast_dev_run": True}, [0]),
        ({"max_epochs": 2}, [*range(10)]),
        ({"max_epochs": 3, "limit_train_batches": 3}, [*range(9)]),
        ({"max_epochs": 2, "limit_train_batches": 4, "accumulate_grad_batches": 3}, [*range(8)]),
        ({"max_epochs": 3, "overfit_batches": 2}, [0, 1, 0, 1, 0, 1]),
        ({"max_epochs": 1, "limit_val_batches": 2, "val_check_interval": 2}, [*range(5)]),
    ],
)
def test_options_of_the_trainer(tmp_path, options, expected):
    data = SyntheticDataModule(**TINY)
    listener, _ = fit(data, tmp_path, **options)
    assert numbers_of(data, listener.seen) == expected
    batches = len(data.val_dataloader())
    limits = {"fast_dev_run": 1, "overfit_batches": 2 * 3, "limit_val_batches": 2 * 2}
    whole = batches * options.get("max_epochs", 1)
    limit = next((number for name, number in limits.items() if name in options), whole)
    assert len(listener.eval_tasks) == limit


def test_a_run_resumed_within_an_epoch_continues_with_the_next_batch(tmp_path):
    data = SyntheticDataModule(**TINY)
    _, trainer = fit(data, tmp_path, max_steps=7)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    listener, trainer = fit(
        SyntheticDataModule(**TINY), tmp_path, tmp_path / "last.ckpt", max_steps=15
    )
    assert numbers_of(data, listener.seen) == list(range(7, 15))
    again = SyntheticDataModule.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert again.hparams == data.hparams
    assert isinstance(again.sampler, PairSampler)


def test_without_a_trainer_and_without_hydra():
    data = SyntheticDataModule(**TINY)
    data.setup()
    epochs = [[data.images_of(batch) for batch in data.train_dataloader()] for _ in range(2)]
    assert [len(epoch) for epoch in epochs] == [5, 5]
    first, second, same = epochs[1][0]
    assert first.shape == second.shape == (4, 1, 16, 16)
    assert same.shape == (4,)
    loader = data.train_dataloader()
    numbers = [numbers_of(data, map(data.images_of, loader)) for _ in range(2)]
    assert numbers == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        indices, images = data.images_of(next(iter(loader)))
        assert torch.equal(images, plain(data.dataset, indices))
    loader = DataLoader(data.dataset, batch_size=3)  # one's own loader of images and labels
    images, labels = next(iter(loader))
    assert torch.equal(images, plain(data.dataset, torch.arange(3)))
    assert labels.tolist() == data.dataset.classes[:3].tolist()


def test_defaults_are_those_of_the_default_experiment():
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config")
        configured = instantiate(cfg.data)
        folder = compose("config", ["data=folder", "data.root=here"]).data
        synthetic = compose("config", ["data=synthetic"]).data
    assert OmniglotDataModule().hparams == OneShotDataModule().hparams == configured.hparams
    yaml.safe_dump(dict(configured.hparams))  # plain values
    assert SyntheticDataModule().hparams == instantiate(synthetic).hparams
    given = ImageFolderDataModule("here", on_missing=None)
    assert given.hparams == {**instantiate(folder).hparams, "folder": "here"}
    assert ImageFolderDataModule(**given.hparams).hparams == given.hparams


@pytest.mark.parametrize("sampler", ["bce_pairs", {"name": "episodic_ce", "n_way": 5}])
def test_samplers_by_name(sampler):
    made = OneShotDataModule(sampler=sampler).sampler
    assert made.augmentation == Augmentation(
        elastic=made.augmentation.elastic, grid=made.augmentation.grid
    )
    assert getattr(made, "n_way", 5) == 5


def test_the_sources_of_the_data_modules(loads, tmp_path):
    modules = (
        OmniglotDataModule(root="there"),
        ImageFolderDataModule(tmp_path),
        SyntheticDataModule(),
    )
    sources = [(one.source, one.hparams.root, one.split_name) for one in modules]
    assert sources == [
        ("omniglot", "there", "lake"),
        ("folder", str(tmp_path), "ratio_60_20_20"),
        ("synthetic", None, "ratio_60_20_20"),
    ]


def describe(dataset, name, characters, n_synthetic=0):
    split = split_dataset(dataset, name)
    train = ClassIndex(dataset, split.train)
    excluded = train.excluded_alphabets(characters, 3)
    validation = ClassIndex(dataset, split.validation)
    return describe_training_data(dataset.source, train, excluded, validation, n_synthetic)


def test_training_data_without_alphabets_that_no_batch_has(omniglot):
    """Blackfoot has 14 characters, Ojibwe 12 different ones."""
    dataset = omniglot.dataset
    text = "background alphabets by 20 drawers"
    assert describe(dataset, "lake", 12) == f"27 {text} (besides 3 for validation)"
    assert (
        describe(dataset, "lake", 14)
        == f"26 {text} (besides 3 for validation, 1 too small for a batch)"
    )
    assert (
        describe(dataset, "lake", 16)
        == f"25 {text} (besides 3 for validation, 2 too small for a batch)"
    )
    assert describe(dataset, "background", 16) == f"28 {text} (besides 2 too small for a batch)"
    koch = "30 background alphabets by 12 drawers (besides 10 for validation)"
    assert describe(dataset, "koch", 2) == koch
    assert describe(dataset, "koch40", 2) == "37 alphabets by 20 drawers (besides 3 for validation)"
    assert describe(dataset, "minimal1", 2, 9).endswith(f"{text}, and 9 generated alphabets")


def test_training_data_of_other_sources(dataset):
    train = ClassIndex(dataset, dataset.indices(["AlphabetA"], range(4)))
    assert (
        describe_training_data("folder", train, [], train, 0) == "folder: 1 alphabet by 4 drawers"
    )
    every = ClassIndex(dataset, torch.arange(len(dataset)))
    text = describe_training_data("synthetic", every, ["AlphabetB"], train, 0)
    assert text == "synthetic: 3 alphabets by 6 drawers (besides 1 too small for a batch)"


@pytest.mark.parametrize(("n_way", "n_classes"), [(5, 11), (6, 6)])
def test_only_images_that_a_batch_can_have_are_counted(make, n_way, n_classes):
    """Training has alphabets of 6 and 5 characters by 6 drawers."""
    data = make(EpisodeSampler(1, n_way, 2, 6))
    assert (data.n_train_classes, data.n_train_images) == (n_classes, 6 * n_classes)


@pytest.mark.skipif(sys.platform != "linux", reason="where shared memory is a folder")
def test_workers_need_shared_memory(make, monkeypatch, tmp_path):
    monkeypatch.setattr(datamodule, "_SHARED_MEMORY", str(tmp_path / "none"))
    assert make(PairSampler(6, 4), 0).train_dataloader().num_workers == 0
    with pytest.raises(ArgumentError, match=r"num_workers.*need shared memory.*use 0"):
        make(PairSampler(6, 4), 0, num_workers=1).train_dataloader()
