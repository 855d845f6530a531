"""ONNX gives PyTorch's numbers for any number of images, and one page runs it in a browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn import SYMBOLS, draw, opened, shows, strokes_of
from tiny_network import checkpoint

from siamese_oneshot import OneShotClassifier, onnx_export
from siamese_oneshot.data.image_input import read_input
from siamese_oneshot.export import main
from siamese_oneshot.models.siamese import build_model
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.onnx_export import TOLERANCE, export_onnx, export_page
from siamese_oneshot.prediction.output import percent
from siamese_oneshot.runs.checkpoint import load_trained
from siamese_oneshot.utils.errors import UserError

pytest.importorskip("onnx", reason='onnx is missing: pip install -e ".[onnx]"')
pytest.importorskip("onnxscript", reason='onnxscript is missing: pip install -e ".[onnx]"')
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is missing")


def tiny(name: str, tta: bool = False) -> TrainedModel:
    encoder: dict[str, Any] = {"image_size": 28, "filters": [4, 4, 8, 8], "embedding_dim": 16}
    if name == "relation":
        encoder["pool_sizes"] = [1, 1, 2, 2]  # its map is halved twice
    network = build_model(name, encoder=encoder, seed=3).eval().requires_grad_(False)
    network.tta = tta
    with torch.no_grad():  # untrained weights alone would hide a part that is left out
        for one in network.similarity.parameters():
            one += 0.1 * torch.randn(one.shape, generator=torch.Generator().manual_seed(4))
    return TrainedModel(name, network, {}, threshold=-1.5, reject_threshold=0.25, temperature=2.0)


def session(file: Path) -> Any:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("name", "tta"),
    [
        ("cross_attention", False),
        ("cross_attention", True),
        ("conv4_small", False),
        ("matching", True),
        ("relation", False),
    ],
)
def test_onnx_agrees_with_pytorch_for_any_number_of_images(
    name: str, tta: bool, tmp_path: Path
) -> None:
    trained = tiny(name, tta)
    table = export_onnx(trained, tmp_path / "a.onnx")
    encoder, similarity = (session(tmp_path / row[-1]) for row in table.rows)
    assert [row[0] for row in table.rows] == ["encoder", "similarity"]
    assert all(float(cell) > 0 for row in table.rows for cell in row[2:4])
    images = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(5))
    expected = trained.network.embed(images)
    for n in (1, 3, 8):
        (found,) = encoder.run(None, {"images": images[:n].numpy()})
        assert torch.allclose(torch.from_numpy(found), expected[:n], rtol=0, atol=TOLERANCE)
        (logits,) = similarity.run(
            None, {"queries": expected[:n].numpy(), "supports": expected[n - 1 :].numpy()}
        )
        for query in range(n):
            for support in range(n - 1, 8):
                pair = trained.network(images[query, None], images[support, None])
                assert logits[query, support - n + 1] == pytest.approx(float(pair), abs=TOLERANCE)
    assert similarity.get_modelmeta().custom_metadata_map == {
        "image_size": "28", "threshold": "-1.5", "reject_threshold": "0.25", "temperature": "2.0",
    }  # fmt: skip


def test_a_difference_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(UserError, match=r"a\.encoder\.onnx differs from PyTorch by .*do not use"):
        export_onnx(tiny("conv4_small"), tmp_path / "a.onnx")


def test_the_command_writes_both_and_names_another_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(checkpoint(threshold=0.5), tmp_path / "best.ckpt")
    line = ["export", str(tmp_path / "best.ckpt")]
    monkeypatch.setattr(sys, "argv", [*line, str(tmp_path / "x" / "b.onnx")])
    main()
    shown = capsys.readouterr().out
    for key in ("encoder", "similarity"):
        assert f"b.{key}.onnx" in shown
        assert (tmp_path / "x" / f"b.{key}.onnx").is_file()
    other = tmp_path / "other.tgz"
    other.write_bytes(b"not npm's")
    monkeypatch.setattr(sys, "argv", [*line, str(tmp_path / "b.html"), "--runtime", str(other)])
    with pytest.raises(SystemExit, match=r"other\.tgz is not onnxruntime-web-1\.30\.0\.tgz"):
        main()
    assert not (tmp_path / "b.html").exists()


@pytest.mark.browser
def test_the_page_recognizes_strokes_as_python_does(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIAMESE_ONESHOT_CACHE", raising=False)  # where npm's file may be
    file = tmp_path / "draw.html"
    try:
        export_page(load_trained("dense"), file)
    except UserError as problem:
        pytest.skip(str(problem))
    classifier = OneShotClassifier.from_pretrained("dense")
    with opened(browser, file.as_uri(), offline=True) as page:
        for name, strokes in [*SYMBOLS.items(), ("tee", SYMBOLS["tee"])]:
            draw(page, "#support", strokes, shift=3 * (name in classifier.classes), zoom=0.9)
            classifier.add_class(name, 255 - strokes_of(page, "support")[0])
            page.fill("#name", name)
            page.click("#add")
            shows(page, "#gallery", name)
        shows(page, "#gallery", "tee (2)")
        for name, strokes in SYMBOLS.items():
            page.click("#clear-query")
            draw(page, "#query", strokes, shift=6, zoom=0.75)
            drawn, png = strokes_of(page, "query")
            image = read_input(png).normalized.strokes
            assert (drawn & image).sum() / (drawn | image).sum() > 0.7
            (prediction,) = classifier.predict(255 - drawn)
            assert np.array_equal(prediction.image.normalized.strokes, drawn)  # taken as it is
            for one in prediction.classes:
                row = page.locator("#ranking tbody tr", has_text=one.name)
                shows(page, "#ranking", f"{one.score:.2f}")
                expected = [one.name, percent(one.probability), f"{one.score:.2f}"]
                assert row.locator("td").all_inner_texts() == expected
            assert prediction.best.name == name
            shows(page, "#verdict", f"{name}: known" if prediction.known else f"{name}?")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
