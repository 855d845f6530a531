"""On a CUDA GPU with ``SIAMESE_ONESHOT_GPU=1``: the same results as on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from test_run import logged, run
from tiny import BATCHES, TINY

from siamese_oneshot.data.augmentation import Augmentation, Warp, apply_warp
from siamese_oneshot.evaluation.embeddings import ComputeConfig, embed, score_pairs
from siamese_oneshot.runs.checkpoint import load_trained
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils.config import conf_dir, group_options

pytestmark = pytest.mark.skipif(
    not (os.environ.get("SIAMESE_ONESHOT_GPU") and torch.cuda.is_available()),
    reason="needs a CUDA GPU and SIAMESE_ONESHOT_GPU=1",
)

LINE = [*TINY, *BATCHES, "sampler.steps_per_epoch=3", "trainer.max_steps=6"]


def config(*overrides: str) -> Any:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", [*overrides])


@pytest.fixture
def exact() -> Iterator[None]:
    """Float32 products without TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("elastic", [0.0, 3.0])
def test_augmentation_is_the_same(elastic: float) -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(50, 1, 105, 105, generator=rng)
    warp = Augmentation(elastic=elastic, probability=1.0).draw(50, rng)
    displacement = None if warp.displacement is None else warp.displacement.cuda()
    on_gpu = apply_warp(images.cuda(), Warp(warp.matrix.cuda(), displacement)).cpu()
    torch.testing.assert_close(on_gpu, apply_warp(images, warp), rtol=0, atol=2e-3)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("model", group_options("model"))
def test_logits_are_the_same(model: str) -> None:
    network: Any = instantiate(config(f"model={model}").model)
    network.eval()
    images = torch.rand(8, 1, *[network.encoder.image_size] * 2)
    with torch.no_grad():
        on_cpu = network(images[:4], images[4:])
        network.cuda()
        on_gpu = network(images[:4].cuda(), images[4:].cuda()).cpu()
    torch.testing.assert_close(on_gpu, on_cpu, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("loss", group_options("loss"))
def test_a_step_never_waits_for_the_gpu(loss: str) -> None:
    cfg = config(*TINY, f"loss={loss}", *([] if loss == "bce_pairs" else BATCHES))
    data = instantiate(cfg.data)
    data.setup()
    network: Any = instantiate(cfg.model).cuda()
    compute_loss = instantiate(cfg.loss)
    optimizer = instantiate(cfg.optimizer)(network.named_layers, 10).optimizer

    def step(number: int) -> None:
        spec = data.transfer_batch_to_device(data.train_batches[number], torch.device("cuda"), 0)
        batch = data.on_after_batch_transfer(spec, 0)
        torch.cuda.set_sync_debug_mode("error" if number else "default")
        try:
            with torch.autocast("cuda", torch.bfloat16):
                value = compute_loss(network, *batch)["loss"]
            value.backward()
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")

    step(0)  # the first fills caches
    step(1)


def test_a_whole_run(tmp_path: Path) -> None:
    """Its precision is bfloat16, and the kept network gives the same embeddings on the CPU."""
    run(tmp_path, *LINE)
    result = read_result(tmp_path)
    assert (result.status, result.precision, result.steps) == ("finished", "bf16-mixed", 6)
    assert torch.cuda.get_device_name() in result.hardware
    trained = load_trained(tmp_path)
    data = instantiate(config(*LINE).data)
    data.setup()
    tasks = data.validation
    on_cpu, on_gpu = (
        embed(
            trained.network.to(device),
            data.dataset,
            tasks.indices,
            ComputeConfig(device, "32-true"),
            "test",
        )
        for device in ("cpu", "cuda")
    )
    torch.testing.assert_close(on_gpu.vectors.cpu(), on_cpu.vectors, rtol=1e-2, atol=1e-2)
    pairs = tasks.pairs.first, tasks.pairs.second
    assert score_pairs(on_gpu, *pairs, trained.network).isfinite().all()


def test_a_stopped_run_is_resumed(tmp_path: Path) -> None:
    run(tmp_path, *LINE, "+callbacks.stop._target_=stoppers.StopAfterOneEpoch")
    assert read_result(tmp_path).steps == 3
    run(tmp_path, f"resume={tmp_path}", "callbacks.stop=null")
    assert (read_result(tmp_path).status, read_result(tmp_path).steps) == ("finished", 6)
    assert len(logged(tmp_path, "train/loss")) == 6
