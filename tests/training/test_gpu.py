"""On a CUDA GPU, where ``SIAMESE_ONESHOT_GPU=1`` asks for it; skipped elsewhere.

The other tests compare to the bit and hide GPUs; these compare a GPU with the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from siamese_oneshot.bench.parts import Parts
from test_run import logged, run
from tiny import BATCHES, TINY

from siamese_oneshot.data.augmentation import Augmentation, Warp, apply_warp
from siamese_oneshot.evaluation.embeddings import ComputeConfig, embed, score_pairs
from siamese_oneshot.runs.checkpoint import load_trained
from siamese_oneshot.runs.result import read_result

pytestmark = pytest.mark.skipif(
    not (os.environ.get("SIAMESE_ONESHOT_GPU") and torch.cuda.is_available()),
    reason="needs a CUDA GPU and SIAMESE_ONESHOT_GPU=1",
)

WHOLE = [*TINY, *BATCHES, "sampler.steps_per_epoch=3", "trainer.max_steps=6"]
MODELS = ("paper", "replication", "dense", "small", "local", "residual", "residual_local")


@pytest.fixture
def exact() -> Iterator[None]:
    """Float32 products as a CPU makes them."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("elastic", [0.0, 3.0])
def test_the_same_augmentation(elastic: float) -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(50, 1, 105, 105, generator=rng)
    warp = Augmentation(elastic=elastic, probability=1.0).draw(50, rng)
    bend = None if warp.bend is None else warp.bend.cuda()
    there = apply_warp(images.cuda(), Warp(warp.matrix.cuda(), bend)).cpu()
    torch.testing.assert_close(there, apply_warp(images, warp), rtol=0, atol=2e-3)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("model", MODELS)
def test_the_same_scores(model: str) -> None:
    network: Any = instantiate(Parts.config(f"model={model}").model)
    network.eval()
    images = torch.rand(8, 1, *[network.encoder.size] * 2)
    with torch.no_grad():
        here = network(images[:4], images[4:])
        network.cuda()
        there = network(images[:4].cuda(), images[4:].cuda()).cpu()
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("objective", ["episode", "contrastive", "margin", "all_pairs", "pairs"])
def test_a_step_never_waits_for_the_gpu(loss: str) -> None:
    sizes = [] if loss == "pairs" else BATCHES
    config = Parts.config(*TINY, f"loss={loss}", *sizes)
    data = instantiate(config.data)
    data.load()
    network: Any = instantiate(config.model).cuda()
    loss = instantiate(config.loss)
    made = instantiate(config.optim)(network.named_layers, 10).optimizer

    def step(number: int) -> None:
        spec = data.transfer_batch_to_device(data.stream[number], torch.device("cuda"), 0)
        batch = data.on_after_batch_transfer(spec, 0)
        torch.cuda.set_sync_debug_mode("error" if number else "default")
        try:
            with torch.autocast("cuda", torch.bfloat16):
                found = loss(network, *batch)["loss"]
            found.backward()
            made.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")

    step(0)  # the first fills caches
    step(1)


def test_a_whole_job(tmp_path: Path) -> None:
    """In bfloat16 by itself; the kept network answers on a CPU as it does on the GPU."""
    run(tmp_path, *WHOLE)
    result = read_result(tmp_path)
    assert (result.status, result.precision, result.steps) == ("finished", "bf16-mixed", 6)
    assert torch.cuda.get_device_name() in result.hardware
    trained = load_trained(tmp_path)
    data = instantiate(Parts.config(*WHOLE).data)
    data.load()
    eval_tasks = data.validation
    tables = [
        embed(
            trained.network.to(device),
            data.dataset,
            eval_tasks.indices,
            ComputeConfig(device, "32-true"),
            "test",
        )
        for device in ("cpu", "cuda")
    ]
    here, there = (table.vectors.cpu() for table in tables)
    torch.testing.assert_close(there, here, rtol=1e-2, atol=1e-2)
    pairs = eval_tasks.pairs.first, eval_tasks.pairs.second
    assert score_pairs(tables[1], *pairs, trained.network.score).isfinite().all()


def test_it_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    run(tmp_path, *WHOLE, "+callbacks.stop._target_=stoppers.StopAfterOneEpoch")
    assert read_result(tmp_path).steps == 3
    run(tmp_path, f"resume={tmp_path}", "callbacks.stop=null")
    assert (read_result(tmp_path).status, read_result(tmp_path).steps) == ("finished", 6)
    assert len(logged(tmp_path, "train/loss")) == 6
