"""Each experiment of conf/experiment: composed, and its parts built."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.cli import conf_dir, run_hydra
from siamese_oneshot.data.samplers import SAMPLERS
from siamese_oneshot.data.tasks import EvalConfig
from siamese_oneshot.models.encoders import ResidualEncoder
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.train import train_task
from siamese_oneshot.utils.config import group_options


@cache
def composed(*line: str, hydra: bool = False) -> DictConfig:
    """Composed once; not to be changed."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", [*line], return_hydra_config=hydra)


EXPERIMENTS = sorted((conf_dir() / "experiment").glob("*.yaml"))


# Other experiments stop.
ON_MISSING = dict.fromkeys(("conv4", "pretrained", "quick", "recombined", "synthetic"), "synthetic")


def check_parts(cfg: DictConfig, build: bool = True) -> None:
    """The sampler fits the loss, and network and optimizer can be built."""
    data, loss = instantiate(cfg.data), instantiate(cfg.loss)
    assert data.sampler.kind == loss.sampler_kind
    if build:
        instantiate(cfg.optimizer)(instantiate(cfg.model).named_layers, 1)


def test_all_are_found() -> None:
    assert {path.stem for path in EXPERIMENTS} == {
        "conv4", "dense", "synthetic", "modern", "modern_gpu", "paper", "paper_modern",
        "pretrained", "quick", "recombined", "replication", "strokes",
    }  # fmt: skip


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_names_its_command_and_can_be_built(path: Path) -> None:
    first, _, command, *_ = path.read_text(encoding="utf-8").splitlines()
    assert first == "# @package _global_"
    assert command == f"# python -m siamese_oneshot.train +experiment={path.stem}"
    cfg = composed(f"+experiment={path.stem}")
    assert cfg.name == path.stem
    assert cfg.data.on_missing == ON_MISSING.get(path.stem)
    check_parts(cfg)


KOCH = {  # Koch, Zemel, Salakhutdinov 2015
    "model.encoder.image_size": 105, "model.encoder.filters": [64, 128, 128, 256],
    "model.encoder.kernels": [10, 7, 4, 4], "model.encoder.pool_sizes": [2, 2, 2, 1],
    "model.encoder.embedding_dim": 4096, "model.encoder.batch_norm": False,
    "model.encoder.activation": "sigmoid", "callbacks.ema": None,
}  # fmt: skip
FAITHFUL = {
    "paper": KOCH | {
        "data.split": "koch", "data.eval.val_runs": 320 // 20, "data.eval.n_pairs": 10_000,
        "data.eval.koch_runs": 400 // 20, "model.init": "paper",
        "optimizer._target_": "siamese_oneshot.models.optimizers.paper_sgd",
        "optimizer.decay": 0.99,
        "optimizer.momentum_start": 0.5, "sampler.batch_size": 128,
        "sampler.n_fixed_pairs": 150_000,
        "sampler.n_augmented_copies": 8, "sampler.augmentation.rotation": 10,
        "sampler.augmentation.shear": 0.3,
        "sampler.augmentation.scale": [0.8, 1.2], "sampler.augmentation.shift": 2,
        "sampler.augmentation.probability": 0.5, "sampler.augmentation.elastic": 0,
        "trainer.max_epochs": 200, "trainer.max_steps": -1,
        "callbacks.early_stopping.patience": 20,
        "callbacks.early_stopping.monitor": "val/one_shot_error",
    },
    "replication": KOCH | {
        "data.split": "lake", "model.init": "replication", "model.encoder.background_value": 255,
        "model.encoder.foreground_value": 0,
        "optimizer._target_": "siamese_oneshot.models.optimizers.adam",
        "optimizer.lr": 6e-5, "sampler.batch_size": 32, "sampler.n_fixed_pairs": None,
        "sampler.augmentation": None,
        "loss.l2": dict.fromkeys(["conv1", "conv2", "conv3", "conv4"], 2e-4)
        | {"dense": 1e-3, "output": 0}, "trainer.max_steps": 20_000,
        "callbacks.early_stopping": None,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FAITHFUL)
def test_an_experiment_has_the_values_of_its_publication(name: str) -> None:
    cfg = composed(f"+experiment={name}")
    found = {key: OmegaConf.select(cfg, key, default="nothing") for key in FAITHFUL[name]}
    assert found == FAITHFUL[name]


def test_a_checkpoint_is_chosen_by_as_many_episodes_as_it_is_tested_on() -> None:
    # 2,000 episodes cannot tell half a training from a whole one (docs/results.md).
    by_config, by_default = composed().data.eval, EvalConfig()
    assert by_config.val_runs == by_config.test_runs
    assert by_default.val_runs == by_default.test_runs


def test_the_sampler_that_messages_name_for_whole_alphabets_is_the_default() -> None:
    assert composed(hydra=True).hydra.runtime.choices.loss == SAMPLERS["episode"]
    assert composed("loss=supcon", f"sampler={SAMPLERS['episode']}").sampler == composed().sampler


@pytest.mark.parametrize("name", group_options("loss"))
def test_a_loss_brings_its_sampler(name: str) -> None:
    check_parts(composed(f"loss={name}"), build=False)


LEFT_OUT = {
    "affine": {"sampler"}, "alphabet_augmentation": {"sampler"}, "attention": {"model"},
    "elastic": {"sampler"}, "ema": {"callbacks"}, "episodes": {"loss"},
    "global_embedding": {"model"}, "nothing": set(), "rot90": {"sampler"},
}  # fmt: skip


@pytest.mark.parametrize("name", group_options("ablation"))
@pytest.mark.parametrize("line", [[], ["+experiment=conv4"]], ids=["default", "conv4"])
def test_an_ablation_leaves_one_ingredient_out_and_can_be_built(line: list[str], name: str) -> None:
    plain, cfg = composed(*line), composed(*line, f"+ablation={name}")
    has_it = line or name != "alphabet_augmentation"  # the default augments no whole alphabets
    groups = ("model", "loss", "sampler", "optimizer", "trainer", "callbacks")
    differs = {group for group in groups if plain[group] != cfg[group]}
    assert differs == (LEFT_OUT[name] if has_it else set())
    check_parts(cfg)


@pytest.mark.parametrize("line", [[], ["+experiment=conv4", "sampler.random_rot90=false"]])
def test_a_run_that_leaves_out_what_it_does_not_have_is_refused(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ablation = "rot90" if line else "alphabet_augmentation"
    with pytest.raises(SystemExit, match="1"):
        run_hydra(train_task, argv=[*line, f"+ablation={ablation}", f"hydra.run.dir={tmp_path}"])
    assert f"+ablation={ablation} changes nothing here" in capsys.readouterr().err


@pytest.mark.parametrize("name", group_options("ablation"))
@pytest.mark.parametrize("experiment", ["conv4", "modern_gpu", "pretrained", "quick", "strokes"])
def test_an_ablation_fits_the_experiments_that_are_like_the_default(
    experiment: str, name: str
) -> None:
    check_parts(composed(f"+experiment={experiment}", f"+ablation={name}"), build=False)


@pytest.mark.parametrize("line", [["model=resnet_cross_attention"], ["+experiment=modern_gpu"]])
def test_the_attention_of_any_encoder_can_be_left_out(line: list[str]) -> None:
    cfg = composed(*line, "+ablation=attention", "model.encoder.embedding_dim=32")
    network = instantiate(cfg.model)
    assert isinstance(network.encoder, ResidualEncoder)
    assert isinstance(network.similarity, WeightedL1)


def test_heads_are_compared_on_one_encoder_by_one_recipe() -> None:
    models = composed("+sweep=heads", hydra=True).hydra.sweeper.params.model.split(",")
    heads = [composed("+sweep=heads", f"model={name}") for name in models]
    assert len({cfg.model.similarity._target_ for cfg in heads}) == len(models) == 5
    own = {"embedding_dim", "local_dim", "activation"}  # of the last layers
    shared = {key: value for key, value in heads[0].model.encoder.items() if key not in own}
    for cfg in heads:
        assert shared.items() <= dict(cfg.model.encoder).items()
        for part in ("loss", "optimizer", "sampler", "trainer"):
            assert cfg[part] == heads[0][part]
        assert (cfg.data.split, cfg.sampler.random_rot90, cfg.test) == ("vinyals", True, False)
        assert instantiate(cfg.model).encoder.image_size == 52


@pytest.mark.parametrize("choice", [[], ["model=conv4_small"]])
def test_the_search_of_a_shape_holds_the_one_that_there_is(choice: list[str]) -> None:
    cfg = composed(*choice, "+sweep=architecture", hydra=True)
    params = cfg.hydra.sweeper.params
    lines = [f"{key}={params[key]}" for key in params]
    assert len(lines) == 10
    for one in OverridesParser.create().parse_overrides(lines):
        assert str(OmegaConf.select(cfg, one.key_or_group)) in [*one.sweep_string_iterator()]
    there = composed(*(choice or ["model=cross_attention"])).model.encoder
    assert (cfg.model.encoder.filters, cfg.model.encoder.kernels) == (there.filters, there.kernels)
