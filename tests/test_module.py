"""What a Lightning user does with the module in the first ten lines, on small data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from siamese_oneshot.callbacks.ema import EMA
from siamese_oneshot.classifier import OneShotClassifier
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.labeled_batches import group_by_class, pair_up, tasks_of_labels
from siamese_oneshot.data.samplers import EpisodeSampler, PairSampler
from siamese_oneshot.data.synthetic import SyntheticConfig
from siamese_oneshot.data.tasks import EvalConfig
from siamese_oneshot.evaluation.model_evaluation import splits_learned
from siamese_oneshot.models.optimizers import adam
from siamese_oneshot.models.siamese import SiameseNetwork
from siamese_oneshot.module import SiameseModule
from siamese_oneshot.runs.checkpoint import load_pretrained, load_trained
from siamese_oneshot.utils.config import describe, instantiate_plain
from siamese_oneshot.utils.errors import ArgumentError, UserError

SIZE = 24
SMALL = describe(
    "model", "conv4_small",
    encoder={"image_size": SIZE, "filters": [8, 8, 8, 8], "embedding_dim": 16},
)  # fmt: skip
QUIET: dict[str, Any] = {
    "accelerator": "cpu", "logger": False, "enable_progress_bar": False,
    "enable_model_summary": False, "log_every_n_steps": 1,
}  # fmt: skip


def data(sampler: Any = None, **options: Any) -> OneShotDataModule:
    return OneShotDataModule(
        sampler=sampler or EpisodeSampler(2, 6, 2, steps_per_epoch=3),
        image_size=options.pop("image_size", SIZE),
        seed=0,
        source="synthetic",
        split=options.pop("split", "ratio_60_20_20"),
        synthetic=SyntheticConfig(5, (8, 10), 6),
        eval=EvalConfig(
            n_pairs=200, val_runs=4, test_runs=4, koch_runs=4, n_cross_episodes=40, way=5
        ),
        **options,
    )


def trainer(folder: Path, **options: Any) -> pl.Trainer:
    return pl.Trainer(**{**QUIET, "max_steps": 6, "default_root_dir": folder, **options})


def labeled(n: int = 40, classes: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose class can be seen: a bright row each, with noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    images = 0.2 * torch.rand(n, 1, SIZE, SIZE, generator=generator)
    images[torch.arange(n), 0, 2 * labels] = 1.0
    return images, labels


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_it_has_defaults_for_everything(tmp_path: Path) -> None:
    module = SiameseModule()
    conf = OmegaConf.load(Path(__file__).parents[1] / "conf/config.yaml")
    defaults: Any = OmegaConf.to_container(conf)["defaults"]  # type: ignore[index,call-overload]
    chosen = {key: value for entry in defaults if entry != "_self_" for key, value in entry.items()}
    for group in ("model", "loss", "optimizer"):
        assert module.hparams[group] == describe(group, chosen[group])
    ema = OmegaConf.load(Path(__file__).parents[1] / "conf/callbacks/default.yaml").ema
    assert module.ema_decay == ema.decay
    assert sum(p.numel() for p in module.parameters()) == 1_872_924


def test_a_checkpoint_alone_gives_the_same_scores(tmp_path: Path) -> None:
    module = SiameseModule(SMALL, loss={"name": "episodic_ce", "smoothing": 0.1})
    fit = trainer(tmp_path, callbacks=[ModelCheckpoint(tmp_path, "best")])
    fit.fit(module, datamodule=data())
    loaded = SiameseModule.load_from_checkpoint(tmp_path / "best.ckpt")
    assert json.loads(json.dumps(dict(loaded.hparams))) == dict(module.hparams)
    assert loaded.hparams["loss"]["smoothing"] == 0.1
    assert loaded.threshold == module.threshold is not None
    assert loaded.reject_threshold == module.reject_threshold
    assert weights(loaded).equal(weights(module))  # both hold the average at the end of a fit
    again = trainer(tmp_path)
    (metrics,) = again.validate(loaded, datamodule=data(), verbose=False)
    for name, value in metrics.items():
        assert value == pytest.approx(float(fit.callback_metrics[name]), abs=1e-6), name


def test_a_trained_network_that_was_trained_further_loads_from_its_checkpoint(
    tmp_path: Path,
) -> None:
    fit = trainer(tmp_path, max_steps=1, callbacks=[ModelCheckpoint(tmp_path, "first")])
    fit.fit(SiameseModule({**SMALL, "tta": True}), datamodule=data())
    network = load_pretrained(tmp_path / "first.ckpt", trainable=True)
    module = SiameseModule(network)
    fit = trainer(tmp_path, max_steps=1, callbacks=[ModelCheckpoint(tmp_path, "further")])
    fit.fit(module, datamodule=data())
    path = tmp_path / "further.ckpt"
    pair = torch.rand(2, 5, 1, SIZE, SIZE)
    logits = module.eval()(*pair)
    loaded = SiameseModule.load_from_checkpoint(path).eval()
    classifier = OneShotClassifier.from_pretrained(path)
    assert loaded.network.tta
    assert loaded(*pair).equal(logits)
    torch.testing.assert_close(classifier.model.network(*pair), logits)


def test_a_checkpoint_knows_all_images_that_it_learned_from(tmp_path: Path) -> None:
    """Then evaluate refuses to test it on any of them."""

    def fitted(module: SiameseModule, images: OneShotDataModule) -> dict[str, Any]:
        fit = trainer(tmp_path, max_steps=1)
        fit.fit(module, datamodule=images)
        fit.save_checkpoint(tmp_path / "last.ckpt")
        return load_trained(tmp_path / "last.ckpt").metadata

    first, other = data(), data(split="fold_1_of_5")
    known = fitted(SiameseModule(SMALL, metadata={"seed": 3}), first)
    assert known == {"seed": 3, **first.training_metadata}
    assert (known["data_source"], known["split"]) == ("synthetic", "ratio_60_20_20")
    assert known["data_digest"] == first.digest
    path = str(tmp_path / "last.ckpt")
    loaded = SiameseModule.load_from_checkpoint(path)
    further = SiameseModule(load_pretrained(path, trainable=True))
    assert fitted(loaded, data()) == known  # more of the same
    loaded.metadata["stroke_alphabets"] = ["Latin"]  # of an earlier fit
    assert fitted(loaded, data()) == {**known, "stroke_alphabets": ["Latin"]}
    loaded.metadata = known
    assert fitted(loaded, other) == {"init_from": known, **other.training_metadata}
    init_from = {"name": path, **known}
    assert fitted(further, other) == {"init_from": init_from, **other.training_metadata}
    assert splits_learned("further", further.metadata, "synthetic", first.digest) == [
        ("fold_1_of_5", None),
        ("ratio_60_20_20", None),
    ]


def test_test_time_augmentation_that_was_turned_on_or_off_is_kept(tmp_path: Path) -> None:
    """Its thresholds are kept as well, and are of no use without it."""
    module = SiameseModule(SMALL, ema_decay=None)
    for tta in (True, False):
        module.network.tta = tta
        fit = trainer(tmp_path, max_steps=1)
        fit.fit(module, datamodule=data())
        path = tmp_path / "own.ckpt"
        fit.save_checkpoint(path)
        trained, loaded = load_trained(path), SiameseModule.load_from_checkpoint(path)
        assert trained.network.tta == loaded.network.tta == tta
        assert trained.threshold == loaded.threshold == module.threshold is not None
        module = loaded


def test_a_network_whose_builder_takes_no_tta_is_described_as_it_was(tmp_path: Path) -> None:
    own = {"_target_": f"{__name__}.always_augmented", "network": SMALL}
    fit = trainer(tmp_path, max_steps=1, callbacks=[ModelCheckpoint(tmp_path, "own")])
    fit.fit(SiameseModule(own), datamodule=data())
    trained = load_trained(tmp_path / "own.ckpt", trust=[__name__])
    assert (trained.description, trained.network.tta) == (own, True)


def always_augmented(network: SiameseNetwork) -> SiameseNetwork:
    network.tta = True
    return network


def test_an_average_of_the_weights_is_on_by_default_and_kept(tmp_path: Path) -> None:
    module = SiameseModule(SMALL)
    fit = trainer(tmp_path, callbacks=[ModelCheckpoint(tmp_path, "last")])
    fit.fit(module, datamodule=data())
    assert [c.decay for c in fit.callbacks if isinstance(c, EMA)] == [0.998]  # type: ignore[attr-defined]
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    averaged, current = content["state_dict"], content["current_model_state"]
    assert not averaged["network.similarity.linear.weight"].equal(
        current["network.similarity.linear.weight"]
    )
    for options, decays in (({"ema_decay": None}, []), ({}, [0.5])):
        callbacks = [EMA(decay) for decay in decays]
        fit = trainer(tmp_path, callbacks=callbacks, fast_dev_run=True)
        fit.fit(SiameseModule(SMALL, **options), datamodule=data())  # type: ignore[arg-type]
        found = [c.decay for c in fit.callbacks if isinstance(c, EMA)]  # type: ignore[attr-defined]
        assert found == decays


def test_forward_gives_symmetric_logits() -> None:
    module = SiameseModule(SMALL).eval()
    first, second = torch.rand(2, 5, 1, SIZE, SIZE)
    logits = module(first, second)
    assert logits.shape == (5,)
    assert logits.allclose(module(second, first), atol=1e-6)
    apart = module.network.score(*(module.network.embed(x) for x in (first, second)))
    torch.testing.assert_close(logits, apart)


def test_predict_gives_probabilities_of_pairs_and_embeddings_of_images(tmp_path: Path) -> None:
    module, (images, labels) = SiameseModule(SMALL).eval(), labeled(8, 4)
    pairs = DataLoader(TensorDataset(images, images.flip(0)), 4)
    found = torch.cat(trainer(tmp_path).predict(module, pairs))  # type: ignore[arg-type]
    assert found.allclose(module(images, images.flip(0)).sigmoid(), atol=1e-6)
    alone = DataLoader(TensorDataset(images, labels), 4)
    embeddings = torch.cat(trainer(tmp_path).predict(module, alone))  # type: ignore[arg-type]
    assert embeddings.allclose(module.network.embed(images), atol=1e-6)


def test_a_fresh_module_can_be_tested(tmp_path: Path) -> None:
    (metrics,) = trainer(tmp_path).test(SiameseModule(SMALL), datamodule=data(), verbose=False)
    assert 0 < metrics["test/within_alphabet_accuracy"] < 1
    assert {"test/verification_auroc", "test/verification_eer"} <= metrics.keys()


@pytest.mark.parametrize(
    "options",
    [
        {"fast_dev_run": True},
        {"limit_val_batches": 1},
        {"limit_train_batches": 2, "max_epochs": 2, "max_steps": -1},
        {"overfit_batches": 1, "max_epochs": 2, "max_steps": -1},
        {"accumulate_grad_batches": 2, "max_epochs": 2, "max_steps": -1},
        {"gradient_clip_val": 0.1},
        {"val_check_interval": 2},
        {"num_sanity_val_steps": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_the_trainer(options: dict[str, Any], tmp_path: Path) -> None:
    module = SiameseModule(SMALL)
    before = weights(module).clone()
    fit = trainer(tmp_path, **options)
    fit.fit(module, datamodule=data())
    steps = {"fast_dev_run": 1, "limit_train_batches": 4, "overfit_batches": 2,
             "accumulate_grad_batches": 4}.get(next(iter(options)), 6)  # fmt: skip
    assert fit.global_step == steps
    assert not weights(module).equal(before)


def test_any_logger_checkpoint_and_early_stopping(tmp_path: Path) -> None:
    logger = CSVLogger(str(tmp_path), name="log")
    callbacks: list[Any] = [
        ModelCheckpoint(
            tmp_path, "{epoch}", monitor="val/verification_auroc", mode="max", save_top_k=2
        ),
        EarlyStopping("val/one_shot_accuracy", mode="max", patience=1, min_delta=1.0),
    ]
    fit = trainer(tmp_path, logger=logger, callbacks=callbacks, max_steps=60)
    fit.fit(SiameseModule(SMALL), datamodule=data())
    assert fit.global_step == 6  # two epochs: the second is no better by a whole point
    assert len(list(tmp_path.glob("epoch=*.ckpt"))) == 2
    text = (tmp_path / "log/version_0/metrics.csv").read_text()
    assert "val/one_shot_accuracy" in text
    assert "train/cross_entropy" in text


@pytest.mark.parametrize(
    "loss", ["bce_pairs", "bce_all_pairs", "episodic_ce", "episodic_hinge", "supcon"]
)
def test_images_and_labels_of_any_loader(loss: str, tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset(*labeled()), 20, shuffle=False)
    module = SiameseModule(SMALL, loss, {"name": "adamw", "lr": 1e-2}, ema_decay=None)
    fit = trainer(tmp_path, max_epochs=15, max_steps=-1)
    fit.fit(module, loader, loader)
    assert float(fit.callback_metrics["val/one_shot_accuracy"]) == 1.0
    (metrics,) = fit.test(module, loader, verbose=False)
    assert metrics["test/one_shot_accuracy"] == 1.0
    assert metrics["test/verification_accuracy"] > 0.9


def test_images_of_a_wrong_size_or_kind_are_refused(tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset(torch.rand(4, 1, 10, 10), torch.tensor([0, 0, 1, 1])), 4)
    for given in ({"train_dataloaders": loader}, {"datamodule": data(image_size=10)}):
        with pytest.raises(
            ValueError, match=r"images=.*10, 10.*must be \(n, 1, 24, 24\).*give the"
        ):
            trainer(tmp_path).fit(SiameseModule(SMALL), **given)  # type: ignore[arg-type]
    right, wrong = torch.rand(2, 1, 24, 24), torch.ones(2, 1, 24, 24, dtype=torch.uint8)
    for first, second in ((right, wrong), (wrong, right)):
        with pytest.raises(ValueError, match=r"images=torch\.uint8: it must be float"):
            SiameseModule(SMALL)(first, second)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"images": torch.rand(4, 1, 24, 24)}, "batch=dict: it must be .images, labels."),
        ((torch.rand(4, 1, 24, 24), torch.ones(4)), "labels=torch.float32: it must be integers"),
        ((torch.ones(4, 1, 24, 24, dtype=torch.uint8), torch.tensor([0, 0, 1, 1])),
         "images=torch.uint8: it must be float from 0"),
        ((255 * torch.ones(4, 1, 24, 24), torch.tensor([0, 0, 1, 1])), "images=up to 255: it must"),
    ],
)  # fmt: skip
def test_batches_that_cannot_be_used_are_refused(tmp_path: Path, batch, message: str) -> None:
    loader = DataLoader([batch], batch_size=None)
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path).fit(SiameseModule(SMALL), loader)


def test_pairs_are_no_validation_batch(tmp_path: Path) -> None:
    images, labels = torch.rand(4, 1, 24, 24), torch.tensor([0, 0, 1, 1])
    loader = DataLoader([(images, images, labels.float())], batch_size=None)
    with pytest.raises(ValueError, match=r"batch=3 tensors: it must be .images, labels."):
        trainer(tmp_path).fit(SiameseModule(SMALL, "bce_pairs"), loader, loader)


def test_a_loss_may_return_a_tensor_alone(tmp_path: Path) -> None:
    def loss(network: Any, images: torch.Tensor) -> torch.Tensor:
        return network.embed(images.flatten(0, 2)).square().mean()

    fit = trainer(tmp_path)
    fit.fit(SiameseModule(SMALL, loss), datamodule=data())
    assert float(fit.callback_metrics["train/loss"]) > 0

    def wrong(network: Any, images: torch.Tensor) -> list[int]:
        return []

    with pytest.raises(ValueError, match="it must return the loss as a tensor, or a mapping"):
        trainer(tmp_path).fit(SiameseModule(SMALL, wrong), datamodule=data())


def test_a_misspelled_argument_is_answered() -> None:
    with pytest.raises(ValueError, match="unexpected keyword argument 'imagesize'"):
        SiameseModule({"name": "conv4_small", "encoder": {"imagesize": 28}})


def test_a_loss_and_a_sampler_of_different_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"learns from pairs, .* choose sampler=bce_pairs"):
        trainer(tmp_path).fit(SiameseModule(SMALL, "bce_pairs"), datamodule=data())
    with pytest.raises(
        ValueError, match=r"learns from whole alphabets, .* choose sampler=episodic_ce_smooth"
    ):
        trainer(tmp_path).fit(SiameseModule(SMALL), datamodule=data(PairSampler(8, 2)))


def test_objects_are_taken_and_named_where_a_checkpoint_lacks_them(tmp_path: Path) -> None:
    network = instantiate_plain(SMALL)

    def make_optimizer(layers: Any, steps: int) -> Any:
        return adam(layers, steps, lr=1e-3)

    module = SiameseModule(network, lambda net, images: {"loss": net.embed(images).square().mean()},
                           make_optimizer)  # fmt: skip
    fit = trainer(tmp_path, callbacks=[ModelCheckpoint(tmp_path, "own")])
    fit.fit(module, datamodule=data())
    with pytest.raises(ArgumentError, match=r"its model was built.*pass model="):
        SiameseModule.load_from_checkpoint(tmp_path / "own.ckpt")
    loaded = SiameseModule.load_from_checkpoint(
        tmp_path / "own.ckpt", model=SMALL, loss="episodic_ce", optimizer="adam"
    )
    assert weights(loaded).equal(weights(module))


def test_a_checkpoint_that_names_other_code_is_refused(tmp_path: Path) -> None:
    module = SiameseModule(SMALL)
    trainer(tmp_path, callbacks=[ModelCheckpoint(tmp_path, "own")]).fit(module, datamodule=data())
    content = torch.load(tmp_path / "own.ckpt", weights_only=True)
    content["hyper_parameters"]["loss"] = {"_target_": "fractions.Fraction"}
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ArgumentError, match="trusted"):
        SiameseModule.load_from_checkpoint(tmp_path / "other.ckpt")
    SiameseModule.load_from_checkpoint(tmp_path / "other.ckpt", trust=["fractions"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "paperr"}, r"model=paperr: .*cross_attention"),
        ({"loss": "triplet"}, r"loss=triplet: .*bce_pairs"),
        (
            {"optimizer": {"name": "adamw", "warmup": 2}},
            "warmup=2: it must be a number from 0 to 1",
        ),
        ({"model": {"name": "paper", "encoder": {"image_size": 0}}}, "image_size=0"),
        ({"model": {"name": "paper", "encoder": {"image_size": 20}}}, "20x20"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, UserError), match=message):
        SiameseModule(**arguments)


def test_batches_of_labels_are_grouped_by_class() -> None:
    labels = torch.tensor([3, 1, 3, 2, 1, 3, 5])
    images = torch.arange(7.0)[:, None, None, None].expand(7, 1, 2, 2)
    (grouped,) = group_by_class(images, labels)
    assert grouped[0, :, :, 0, 0, 0].tolist() == [
        [1, 4],
        [0, 2],
    ]  # classes 1 and 3, two images each
    first, second, same = pair_up(images, labels)
    rows = list(
        zip(first[:, 0, 0, 0].tolist(), second[:, 0, 0, 0].tolist(), same.tolist(), strict=True)
    )
    assert rows[:5] == [(0, 2, 1), (1, 4, 1), (2, 5, 1), (4, 1, 1), (5, 0, 1)]
    assert [row[2] for row in rows[5:]] == [0] * 7
    assert all(labels[int(a)] != labels[int(b)] for a, b, _ in rows[5:])
    with pytest.raises(ArgumentError, match="two images each of at least two classes"):
        group_by_class(images[:2], labels[:2])


def test_tasks_of_labels_never_pair_an_image_with_itself() -> None:
    labels = torch.tensor([7, 7, 8, 8, 8, 9])
    tasks = tasks_of_labels(labels)
    drawn = tasks.episode_tasks[0].episodes
    assert drawn.way == 2  # class 9 has one image
    supports = drawn.supports[torch.arange(len(drawn)), drawn.answers, 0]
    assert bool((labels[supports] == labels[drawn.queries]).all())
    assert bool((supports != drawn.queries).all())
    assert bool((tasks.pairs.first != tasks.pairs.second).all())
    assert bool(
        ((labels[tasks.pairs.first] == labels[tasks.pairs.second]) == tasks.pairs.same).all()
    )
