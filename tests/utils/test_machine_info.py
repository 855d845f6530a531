"""What a result must say so that it can be repeated."""

from __future__ import annotations

import json

import torch

from siamese_oneshot.utils.run_info import machine


def test_the_machine_is_plain() -> None:
    found = machine()
    assert found["threads"] == torch.get_num_threads()
    assert json.loads(json.dumps(found)) == found
