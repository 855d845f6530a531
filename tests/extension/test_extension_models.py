"""A project of one's own adds a loss, an encoder and a similarity by one file and one YAML each."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import pytest
import torch
from tiny import BATCHES, FULL_PRECISION, SYNTHETIC

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.models import build_loss, build_model, build_optimizer
from siamese_oneshot.runs.checkpoint import load_trained
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.train import train_task
from siamese_oneshot.utils.errors import UserError

PAGE = Path(__file__).parents[2] / "docs" / "extend.md"
SHORT = [
    *SYNTHETIC, FULL_PRECISION, "trainer.log_every_n_steps=1", "trainer.max_steps=2",
    "sampler.steps_per_epoch=2", "trainer.accelerator=cpu", "callbacks.validation_plots=null",
    "test=false",
]  # fmt: skip
MODELS = '''
import torch
from torch import nn


class MyEncoder(nn.Module):
    """Mean intensities of a coarse grid, and a linear layer."""

    def __init__(self, image_size, embedding_dim, grid=6):
        super().__init__()
        self.image_size, self.embedding_dim = image_size, embedding_dim
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.layers = nn.ModuleDict({"linear": nn.Linear(grid * grid, embedding_dim)})

    def forward(self, images):
        return self.layers["linear"](self.pool(images).flatten(1))


class MySimilarity(nn.Module):
    """Scaled negative squared distance."""

    def __init__(self, embedding_dim, scale=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, first, second):
        return -self.scale * (first - second).square().sum(-1)
'''
MODEL = """
_target_: siamese_oneshot.models.siamese.build_network
encoder:
  _target_: my_models.MyEncoder
  _partial_: true
  image_size: 24
  embedding_dim: 8
similarity:
  _target_: my_models.MySimilarity
  _partial_: true
  scale: 2.0
init: torch
seed: ${seed}
"""


def block(language: str) -> str:
    """The first example of a language in docs/extend.md."""
    example = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    return example[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with modules and YAML files, which is the working directory and importable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {
        "my_models.py": MODELS,
        "my_conf/model/mine.yaml": MODEL,
        "my_losses.py": block("python"),
        "my_conf/loss/squared.yaml": block("yaml"),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    yield tmp_path
    for module in ("my_models", "my_losses"):
        sys.modules.pop(module, None)


def train(project: Path, *line: str) -> Path:
    run = project / "run"
    arguments = ["--config-dir", "my_conf", *line, *SHORT, f"hydra.run.dir={run}"]
    run_hydra(train_task, argv=arguments)
    assert read_result(run).status == "finished"
    return run


def test_a_loss_of_the_documentation(project: Path) -> None:
    line = re.search(r"train (--config-dir my_conf loss=.*)", PAGE.read_text())
    assert line is not None
    small = ["model=conv4_small", "model.encoder.image_size=24", "model.encoder.filters=[8,8,8,8]"]
    run = train(project, *line[1].split()[2:], *small, "sampler.batch_size=8")
    sys.modules.pop("my_losses")
    assert "loss=squared" in load_trained(run).metadata["overrides"]  # the network alone is needed


def test_an_encoder_and_a_similarity(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(project, "model=mine", "optimizer.lr={default: 1e-3, linear: 1e-2}", *BATCHES)
    said = " ".join(capsys.readouterr().out.split())
    assert "pass trust=my_models to evaluate" in said
    assert "(export and demo: --trust MODULE)" in said
    with pytest.raises(UserError, match=r"(?s)my_models\.MyEncoder.*only classes of"):
        load_trained(run)
    network = load_trained(run, trust=["my_models"]).network
    first, second = torch.rand(2, 3, 1, 24, 24)
    assert type(network.encoder).__name__ == "MyEncoder"
    assert list(network.named_layers) == ["linear", "output"]
    torch.testing.assert_close(network(first, second), network(second, first))


def test_a_training_begins_from_an_encoder_of_ones_own_and_learns_from_it(project: Path) -> None:
    line = ["model=mine", *BATCHES]
    first = train(project, *line).rename(project / "first")
    begun = train(project, *line, f"init_from={first}").rename(project / "begun")
    assert load_trained(begun, "my_models").metadata["init_from"]["name"] == str(first)
    student = train(project, *line, "loss=distillation", f"teachers={first}")
    (known,) = load_trained(student, "my_models").metadata["teachers"]
    assert known["name"] == str(first)


OPTIMIZER = """
import torch
from siamese_oneshot.models.optimizers import OptimizerSetup


def plain(layers, total_steps):
    weights = [weight for layer in layers.values() for weight in layer.parameters()]
    return OptimizerSetup(torch.optim.SGD(weights, 0.1))
"""


def test_an_optimizer_without_names_of_its_groups(project: Path) -> None:
    (project / "my_optimizers.py").write_text(OPTIMIZER)
    (project / "my_conf" / "optimizer").mkdir()
    text = "_target_: my_optimizers.plain\n_partial_: true\n"
    (project / "my_conf" / "optimizer" / "plain.yaml").write_text(text)
    run = train(project, "model=mine", "optimizer=plain", *BATCHES)
    sys.modules.pop("my_optimizers")
    (path,) = run.glob("csv/version_0/metrics.csv")
    with open(path) as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file) if row["lr"]]
    assert rates == pytest.approx([0.1, 0.1])


def test_from_python(project: Path) -> None:
    encoder = {"_target_": "my_models.MyEncoder", "_partial_": True,
               "image_size": 24, "embedding_dim": 8}  # fmt: skip
    similarity = {"_target_": "my_models.MySimilarity", "_partial_": True}
    network = build_model(
        {"_target_": "siamese_oneshot.models.siamese.build_network", "encoder": encoder,
         "similarity": similarity, "init": "torch", "seed": 0}
    )  # fmt: skip
    setup = build_optimizer("adam", lr=1e-3)(network.named_layers, 10)
    loss = build_loss({"_target_": "my_losses.SquaredError"})
    batch = torch.rand(4, 1, 24, 24), torch.rand(4, 1, 24, 24), torch.ones(4)
    before = loss(network, *batch)["loss"]
    before.backward()
    setup.optimizer.step()
    assert loss(network, *batch)["loss"] < before
