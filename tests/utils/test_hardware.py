"""Device and precision chosen for the machine."""

from __future__ import annotations

import platform

import pytest
import torch

from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.hardware import (
    PRECISIONS,
    choose_accelerator,
    choose_precision,
    keep_freed_memory,
)


@pytest.mark.parametrize(("cuda", "expected"), [(True, "gpu"), (False, "cpu")])
def test_auto_accelerator(monkeypatch: pytest.MonkeyPatch, cuda: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert choose_accelerator("auto") == expected
    assert choose_accelerator("cpu") == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda", "mps"])
def test_an_accelerator_that_is_not_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=there: found)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda found=there: found)
        if there:
            assert choose_accelerator(name) == name
    with pytest.raises(UserError, match=f"^accelerator={name}: .* use cpu"):
        choose_accelerator(name)
    with pytest.raises(UserError, match="accelerator=tpu: it must be one of auto"):
        choose_accelerator("tpu")


@pytest.mark.parametrize(
    ("accelerator", "gpu", "amx", "avx", "expected"),
    [
        ("gpu", True, False, False, "bf16-mixed"),
        ("gpu", False, True, True, "32-true"),
        ("cuda", True, False, False, "bf16-mixed"),  # Lightning's other name for it
        ("cuda", False, True, True, "32-true"),
        ("cpu", True, False, False, "32-true"),
        ("cpu", False, True, False, "bf16-mixed"),
        ("cpu", False, False, True, "bf16-mixed"),
    ],
)
def test_auto_precision_asks_the_device_in_use(
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    gpu: bool,
    amx: bool,
    avx: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert choose_precision("auto", accelerator) == expected


def test_this_machine_gets_an_answer_and_a_named_precision_is_kept() -> None:
    """The private functions of torch that are asked do exist."""
    assert choose_precision("auto", "cpu") in ("bf16-mixed", "32-true")
    for precision in set(PRECISIONS) - {"auto"}:
        assert choose_precision(precision, "gpu") == precision


@pytest.mark.parametrize(
    ("precision", "says"),
    [
        # On a CPU Lightning would take bfloat16, and the result say otherwise.
        ("16-mixed", "precision=16-mixed: it needs a GPU"),
        ("bf16", r"precision=bf16: .*bf16-mixed"),
    ],
)
def test_a_precision_that_cannot_be_had_is_refused(precision: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        choose_precision(precision, "cpu")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_glibc_takes_the_setting_and_results_stay() -> None:
    before = torch.arange(9.0).reshape(3, 3) @ torch.ones(3, 3)
    assert keep_freed_memory()
    assert torch.equal(before, torch.arange(9.0).reshape(3, 3) @ torch.ones(3, 3))
