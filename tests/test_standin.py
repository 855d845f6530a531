"""Runs seen in a browser on a stand-in server: for transport and pages only, never a dependency.

``pip install openwandb==0.5.25`` in a virtual environment of its own, ``OPENWANDB=<its command>``
(or on the PATH), and a ``chromium``. Its licence is non-commercial and it is insecure: loopback and
a throwaway folder only. It has no groups, artifacts, sweeps or workspaces; it is not W&B's page.
``STANDIN_IMAGES=<folder>`` keeps the screenshot.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from wandb_files import parts_of, wandb_run, without_account

OPENWANDB = os.environ.get("OPENWANDB") or shutil.which("openwandb")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.standin,
    pytest.mark.skipif(OPENWANDB is None or CHROMIUM is None, reason="needs openwandb, chromium"),
]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = [
        str(OPENWANDB), "serve", "--host", "127.0.0.1", "--port", str(port), "--data-dir",
        str(tmp_path / "server"), "--log-level", "warning",
    ]  # fmt: skip
    server = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/login", timeout=5).read()
                break
            except OSError:
                time.sleep(0.2)
        with without_account(tmp_path) as patch:
            patch.setenv("WANDB_BASE_URL", address)
            patch.setenv("WANDB_API_KEY", "local" + "0" * 40)
            yield address
    finally:
        server.terminate()
        server.wait()


def log_run(folder: Path, name: str, mode: str) -> str:
    image = folder.with_suffix(".png")
    Image.new("L", (64, 64), 200).save(image)
    config = {"optimizer": {"lr": 1e-3}}
    with wandb_run(folder, config, project="p", name=name, mode=mode) as logger:
        for step in range(20):
            logger.log_metrics({"val/one_shot_accuracy": 1 - 0.8**step}, step=step)
        logger.log_image("plots/episode", [str(image)], step=20)
        run_id: str = logger.experiment.id
    return run_id


def ask(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return str(answer.read().decode())


def test_an_online_and_a_synced_run_are_on_the_page(tmp_path: Path, url: str) -> None:
    ids = [log_run(tmp_path / "online", "online run", "online")]
    ids.append(log_run(tmp_path / "offline", "synced run", "offline"))
    line = [sys.executable, "-m", "wandb", "sync", *map(str, parts_of(tmp_path / "offline"))]
    subprocess.run(line, check=True, capture_output=True, timeout=120)
    listed = json.loads(ask(f"{url}/api/v2/projects/default/p/runs"))
    assert all(one in json.dumps(listed) for one in [*ids, "online run", "synced run"])
    for one in ids:
        assert "val/one_shot_accuracy" in ask(f"{url}/api/v2/runs/{one}/metrics")
    show_to_all(url)
    place = Path(os.environ.get("STANDIN_IMAGES", tmp_path))
    project = in_browser(f"{url}/projects/default/p", place / "project.png")
    assert "online run" in project
    assert "synced run" in project
    for one in ids:
        page = in_browser(f"{url}/runs/default/p/{one}", place / f"run_{ids.index(one)}.png")
        assert "val/one_shot_accuracy" in page


def show_to_all(url: str) -> None:
    """Let the browser see the first project without a login."""
    key = base64.b64encode(f"api:{os.environ['WANDB_API_KEY']}".encode()).decode()
    request = urllib.request.Request(
        f"{url}/api/v2/projects/1/visibility",
        data=b'{"visibility": "public"}',
        headers={"Authorization": f"Basic {key}", "Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=30).read()


def in_browser(address: str, shot: Path) -> str:
    """The page as it stands after its scripts; a screenshot is kept."""
    line = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--window-size=1280,1000", "--virtual-time-budget=10000", f"--screenshot={shot}",
        "--dump-dom", address,
    ]  # fmt: skip
    done = subprocess.run(line, check=True, capture_output=True, text=True, timeout=120)
    assert shot.is_file()
    return done.stdout
