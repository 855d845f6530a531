"""Accuracy of predict on generated images of symbols: python tests/own_symbols.py [ROW ...]

Each row has galleries of 20 classes and at least 1,000 queries. Drawings are those of Omniglot's
validation alphabets, enlarged and drawn again with other pens; fonts are those of the Debian
packages in FONTS. Every query of a row is disturbed in its own way. Prints one line per row: the
accuracy of the network and of three simple methods on the same normalized images, then AUROC and
balanced accuracy of known against unknown, with galleries of half of the classes. The same of an
older commit: PYTHONPATH=its/checkout python tests/own_symbols.py.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import convolve, distance_transform_edt, gaussian_filter
from skimage.feature import hog
from skimage.morphology import skeletonize
from torchmetrics.functional.classification import binary_auroc

from siamese_oneshot import OneShotClassifier
from siamese_oneshot.data.image_input import ImageError, ImageInput, read_input
from siamese_oneshot.data.mnist import load_mnist
from siamese_oneshot.data.omniglot.loader import load_omniglot
from siamese_oneshot.data.splits import VAL_ALPHABETS
from siamese_oneshot.data.synthetic import SyntheticConfig, draw_alphabets
from siamese_oneshot.evaluation.baselines import Hausdorff, PixelNearestNeighbor

FONTS = (
    "fonts-dejavu-core fonts-dejavu-extra fonts-freefont-ttf fonts-noto-core fonts-lato "
    "fonts-linuxlibertine fonts-liberation"
)
WAY = 20
Gray = np.ndarray[Any, np.dtype[Any]]  # (h, w), 0 black to 1 white, or uint8
Draw = Callable[[], Gray]
# For each gallery: support images of each class, and queries with the index of their class.
Galleries = list[tuple[list[list[Draw]], list[tuple[Draw, int]]]]


def drawn(pixels: Gray, pen: float = 3, flare: bool = False) -> Gray:
    """A drawing of 105×105, enlarged twofold and drawn again with another pen."""
    large = Image.fromarray(pixels).resize((210, 210), Image.Resampling.BICUBIC)
    ink = gaussian_filter(np.asarray(large, np.float32), 1.5) > 100
    line = skeletonize(ink)
    distance = distance_transform_edt(~line)
    if flare:  # wider at the ends, as a broad nib makes them
        around = convolve(line.astype(int), np.ones((3, 3)))
        ends = distance_transform_edt(~(line & (around == 2)))
        pen = pen * (1 + 1.2 * np.clip(1 - ends / (3 * pen), 0, 1))
    return 1 - np.clip(pen / 2 + 0.5 - distance, 0, 1)


def plain(page: Gray, rng: np.random.Generator) -> Gray:
    return page


def frame(page: Gray, rng: np.random.Generator) -> Gray:
    image, side = Image.fromarray((page * 255).astype(np.uint8)), len(page)
    image = Image.fromarray(np.pad(np.asarray(image), side // 8, constant_values=255))
    low, high = np.array([0.02, 0.95]) * image.width + rng.uniform(0, 0.03 * side, 2)
    gray, width = int(rng.integers(0, 120)), int(rng.integers(2, 6))
    ImageDraw.Draw(image).rectangle((low, low, high, high), outline=gray, width=width)
    return np.asarray(image, np.float32) / 255


def table(page: Gray, rng: np.random.Generator) -> Gray:
    height, width = page.shape
    top, left, bottom, right = rng.integers(height // 8, height // 2, 4)
    around = rng.normal(rng.uniform(0.2, 0.75), 0.02, (top + height + bottom, left + width + right))
    around[top : top + height, left : left + width] = page
    return around.clip(0, 1)


def rules(page: Gray, rng: np.random.Generator, squared: bool = False) -> Gray:
    step, gray, width = rng.integers(20, 40), rng.uniform(0.35, 0.75), rng.integers(1, 4)
    lines = (np.arange(len(page)) + rng.integers(step)) % step < width
    paper = np.where(lines[:, None] | (squared & lines[None]), gray, 1)
    return np.minimum(page, paper)


def shadow(page: Gray, rng: np.random.Generator, hard: bool = False) -> Gray:
    y, x = np.mgrid[-1 : 1 : len(page) * 1j, -1 : 1 : page.shape[1] * 1j]
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
    side = x * np.cos(angle) + y * np.sin(angle) - offset
    shade = 1 / (1 + np.exp(-side / (0.004 if hard else 0.25)))
    lit = (0.1 + 0.85 * page) * (1 - rng.uniform(0.3, 0.6) * shade)
    return (lit + rng.normal(0, 0.012, page.shape)).clip(0, 1)


def scan(page: Gray, rng: np.random.Generator) -> Gray:
    """1.7 cm on A4 at 300 dpi."""
    sheet = np.full((3508, 2480), 255, np.uint8)
    small = Image.fromarray((page * 255).astype(np.uint8)).resize((200, 200), Image.Resampling.BOX)
    top, left = rng.integers(100, 3200), rng.integers(100, 2200)
    sheet[top : top + 200, left : left + 200] = np.asarray(small)
    return sheet


Disturb = Callable[[Gray, np.random.Generator], Gray]


@functools.cache
def drawings() -> list[Gray]:
    """Twenty characters by 20 drawers of five lists: uint8 ``(20, 20, 105, 105)`` each."""
    data, lists = load_omniglot().dataset, []
    for name in VAL_ALPHABETS:
        of = data.alphabets == data.alphabet_names.index(name)
        pixels = data.pixels[of].numpy().reshape(-1, 20, 105, 105)
        lists += [pixels[k : k + WAY] for k in range(0, len(pixels) - WAY + 1, WAY)]
    return lists


@functools.cache
def generated() -> list[Gray]:
    """The same of five generated alphabets by other drawers."""
    data = draw_alphabets(SyntheticConfig(5, (WAY, WAY), 20, seed=77))
    return [pixels.numpy() for pixels in data.pixels.reshape(5, WAY, 20, 105, 105)]


def hands(
    lists: Callable[[], list[Gray]], disturb: Disturb = plain, shots: int = 1, own: bool = False,
    both: bool = False, **pen: Any,
) -> Galleries:  # fmt: skip
    """Supports by the first drawers, queries by ten others; ``own``: as the files are."""

    def draw(pixels: Gray, seed: int | None) -> Gray:
        if own:
            return 1 - pixels / np.float32(255)
        page = drawn(pixels, **(pen if seed is not None else {}))
        return page if seed is None else disturb(page, np.random.default_rng(seed))

    seeds = itertools.count()
    return [
        (
            [
                [functools.partial(draw, one, next(seeds) if both else None) for one in k[:shots]]
                for k in chosen
            ],
            [
                (functools.partial(draw, one, next(seeds)), label)
                for label, k in enumerate(chosen)
                for one in k[10:]
            ],
        )
        for chosen in lists()
    ]


def letter(path: str, text: str, size: int = 160) -> Gray:
    image = Image.new("L", (2 * size, 2 * size), 255)
    ImageDraw.Draw(image).text((size, size), text, 0, ImageFont.truetype(path, size), "mm")
    left, top, right, bottom = Image.eval(image, lambda v: 255 - v).getbbox() or (0, 0, 1, 1)
    page = image.crop((left - 20, top - 20, right + 20, bottom + 20))
    return np.asarray(page, np.float32) / 255


def fonts(groups: dict[str, list[str]], families: dict[str, list[str]]) -> Galleries:
    """Supports in the first font of a script, queries in the others; then the last one first."""
    galleries: Galleries = []
    for script, texts in groups.items():
        files = [str(find(name)) for name in families[script]]
        for first, *others in (files, files[::-1]):
            supports = [[functools.partial(letter, first, text)] for text in texts]
            queries = [
                (functools.partial(letter, file, text), label)
                for label, text in enumerate(texts)
                for file in others
            ]
            galleries.append((supports, queries))
    return galleries


def find(name: str) -> Path:
    for folder in ("/usr/share/fonts", "/usr/local/share/fonts"):
        for path in Path(folder).rglob(f"{name}.[to]tf"):
            return path
    sys.exit(f"the font {name} is missing: apt-get install {FONTS}")


LATIN = ("ABDEFGHKLMNPQRTUXYZJ", "abdefghkmnpqrtuyzjsw")
PRINT = ["DejaVuSans", "DejaVuSerif-Bold", "FreeSerif", "FreeMonoBold", "Lato-Black",
         "DejaVuSans-Bold",
         "LinLibertine_R", "LiberationSerif-Bold", "FreeSansBold", "Lato-Thin", "DejaVuSansMono",
         "FreeSerifBold", "LiberationSans-Bold", "DejaVuSerif"]  # fmt: skip
SCRIPTS = {
    "Telugu": 0xC05, "Tamil": 0xB85, "Sinhala": 0xD85, "Thai": 0xE01, "Lao": 0xE81,
    "Khmer": 0x1780, "Devanagari": 0x905, "Gujarati": 0xA85, "Armenian": 0x531, "Georgian": 0x10D0,
    "Hebrew": 0x5D0, "Myanmar": 0x1000,
}  # fmt: skip


def letters() -> Galleries:
    """Latin in 14 fonts: serifs, all weights."""
    return fonts({text: list(text) for text in LATIN}, dict.fromkeys(LATIN, PRINT))


def scripts() -> Galleries:
    """Twelve scripts, none of them an evaluation alphabet, in four styles each."""
    from unicodedata import category

    found = {
        name: [chr(k) for k in range(first, first + 90) if category(chr(k)) in ("Lo", "Lu")][:WAY]
        for name, first in SCRIPTS.items()
    }
    styles = ("Sans{}-Regular", "Serif{}-Regular", "Serif{}-Bold", "Sans{}-Bold")
    return fonts(found, {name: ["Noto" + one.format(name) for one in styles] for name in found})


PAIRS = (
    "♔♚", "♕♛", "♖♜", "♗♝", "♘♞", "♙♟", "♡♥", "♤♠", "♧♣", "♢♦", "☆★", "△▲", "□■", "○●", "▷▶", "▽▼",
    "☏☎", "☼☀", "⬠⬟", "⬡⬢",
)  # fmt: skip


def filled() -> Galleries:
    """Filled symbols against outlined ones, turned and stretched a little."""
    file = str(find("DejaVuSans"))

    def turned(text: str, seed: int) -> Gray:
        rng = np.random.default_rng(seed)
        image = Image.fromarray((letter(file, text) * 255).astype(np.uint8))
        size = [int(n * rng.uniform(0.85, 1.15)) for n in image.size]
        turn = image.resize((size[0], size[1])).rotate(rng.normal(0, 6), fillcolor=255, expand=True)
        return np.asarray(turn, np.float32) / 255

    queries = [
        (functools.partial(turned, pair[1], 60 * label + k), label)
        for label, pair in enumerate(PAIRS)
        for k in range(50)
    ]
    return [([[functools.partial(letter, file, pair[0])] for pair in PAIRS], queries)]


def digits() -> Galleries:
    """MNIST's digits, 10 classes, from 10 supports in turn."""
    data = load_mnist()
    by_class = [data.pixels[data.classes == k].numpy() for k in range(10)]
    return [
        (
            [[functools.partial(lambda p: p / 255.0, images[n])] for images in by_class],
            [
                (functools.partial(lambda p: p / 255.0, image), label)
                for label, images in enumerate(by_class)
                for image in images[100 + 10 * n : 110 + 10 * n]
            ],
        )
        for n in range(10)
    ]


ROWS: dict[str, Callable[[], Galleries]] = {
    "Omniglot's own files": lambda: hands(drawings, own=True),
    "drawings": lambda: hands(drawings),
    "drawings, hairline": lambda: hands(drawings, pen=1.2),
    "drawings, bold pen": lambda: hands(drawings, pen=10),
    "drawings, flared ends": lambda: hands(drawings, pen=6, flare=True),
    "drawings, frame": lambda: hands(drawings, frame),
    "drawings, frame on both sides": lambda: hands(drawings, frame, both=True),
    "drawings, on a table": lambda: hands(drawings, table),
    "drawings, lined paper": lambda: hands(drawings, rules),
    "drawings, squared paper": lambda: hands(drawings, functools.partial(rules, squared=True)),
    "drawings, soft shadow": lambda: hands(drawings, shadow),
    "drawings, hard shadow": lambda: hands(drawings, functools.partial(shadow, hard=True)),
    "drawings, A4 scan": lambda: hands(drawings, scan),
    "drawings, 5 supports": lambda: hands(drawings, shots=5),
    "generated alphabets": lambda: hands(generated),
    "generated, 5 supports": lambda: hands(generated, shots=5),
    "letters in 14 fonts": letters,
    "12 scripts, 4 styles": scripts,
    "filled against outlined": filled,
    "MNIST's digits (10 classes)": digits,
}


def read(draws: list[Draw]) -> list[ImageInput]:
    """The normalized images; a white page for what cannot be read."""

    def one(draw: Draw, name: str) -> ImageInput:
        page = draw()
        if page.dtype != np.uint8:
            page = (page.clip(0, 1) * 255).round().astype(np.uint8)
        try:
            return read_input(page)
        except ImageError:
            print("not read", file=sys.stderr)
            corner = np.full((105, 105), 255, np.uint8)
            corner[50:55, 50:55] = 0
            return read_input(corner)

    return [one(draw, "") for draw in draws]


class Hog:
    """Cosine similarity of histograms of oriented gradients, 8×8 cells of 9 directions."""

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        rows = [hog(image, 9, (8, 8), (2, 2)) for image in images[:, 0].numpy()]
        return torch.nn.functional.normalize(torch.tensor(np.stack(rows)).float(), dim=1)

    def score(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (one * other).sum(-1)


SIMPLE = {"Hausdorff": Hausdorff(), "HOG": Hog(), "pixels": PixelNearestNeighbor("cosine")}


def measure(galleries: Galleries) -> dict[str, Any]:
    """The figures of one row, and the probability and correctness of each answer."""
    classifier = OneShotClassifier.from_pretrained()
    network, embed = classifier.model.network, classifier.model.network.embed
    cache: dict[bytes, torch.Tensor] = {}

    def embed_once(images: torch.Tensor) -> torch.Tensor:
        keys = [image.numpy().tobytes() for image in images]
        if new := {key: k for k, key in enumerate(keys) if key not in cache}:
            cache.update(zip(new, embed(images[list(new.values())]), strict=True))
        return torch.stack([cache[key] for key in keys])

    network.embed = embed_once
    right: dict[str, list[bool]] = {"network": [], **{name: [] for name in SIMPLE}}
    shares, open_scores, is_known = [], [], []
    for supports, queries in galleries:
        inputs = [read(images) for images in supports]
        asked = read([draw for draw, _ in queries])
        truth = torch.tensor([label for _, label in queries])

        def with_classes(
            labels: range, known: list[list[ImageInput]] = inputs
        ) -> OneShotClassifier:
            gallery = OneShotClassifier(classifier.model)
            for label in labels:
                gallery.add_class(str(label), known[label])
            return gallery

        predictions = with_classes(range(len(inputs))).predict(asked)
        for one, label in zip(predictions, truth.tolist(), strict=True):
            right["network"].append(one.best.name == str(label))
            shares.append(one.best.probability)
        for start in (0, 1):
            threshold = with_classes(range(start, len(inputs), 2)).reject_threshold
            for one, label in zip(predictions, truth.tolist(), strict=True):
                best = max(each.score for each in one.classes if int(each.name) % 2 == start)
                open_scores.append(best - threshold)
                is_known.append(label % 2 == start)
        seen = [
            classifier.network_input(images)[:, None].float() / 255
            for images in (asked, [one for images in inputs for one in images])
        ]
        owners = torch.tensor([k for k, images in enumerate(inputs) for _ in images])
        for name, method in SIMPLE.items():
            near, far = method.embed(seen[0]), method.embed(seen[1])
            scores = method.score(near[:, None], far)
            right[name] += (owners[scores.argmax(1)] == truth).tolist()
    known, scores = torch.tensor(is_known), torch.tensor(open_scores)
    ranks, verdict = torch.unique(scores, return_inverse=True)[1].double(), scores > 0
    return {
        "n": len(shares),
        **{name: 100 * float(np.mean(values)) for name, values in right.items()},
        "AUROC": 100 * float(binary_auroc(ranks / max(1, int(ranks.max())), known.long())),
        "balanced": 50 * float(verdict[known].float().mean() + (~verdict[~known]).float().mean()),
        "answers": list(zip(np.round(shares, 4).tolist(), right["network"], strict=True)),
    }  # fmt: skip


def reliability(answers: list[tuple[float, bool]]) -> Iterator[str]:
    """How often answers of a probability are right, in bins."""
    p, right = np.array(answers, float).T
    for low, high in itertools.pairwise((0, 0.2, 0.4, 0.6, 0.8, 0.95, 1.01)):
        inside = (p >= low) & (p < high)
        if inside.any():
            mean, share = 100 * p[inside].mean(), 100 * right[inside].mean()
            yield f"| {low}-{min(high, 1)} | {inside.sum():,} | {mean:.1f} | {share:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; all by default")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    results = {}
    print(
        "| row | queries | network | Hausdorff | HOG | pixels | AUROC | balanced |\n|---|"
        + "---:|" * 7
    )
    for name in options.rows or ROWS:
        results[name] = found = measure(ROWS[name]())
        figures = [f"{value:.1f}" for key, value in found.items() if key not in ("n", "answers")]
        print(f"| {name} | {found['n']:,} | {' | '.join(figures)} |", flush=True)
        if options.json:
            options.json.write_text(json.dumps(results))
    print("\n| probability | answers | mean | right |\n|---|---:|---:|---:|")
    print("\n".join(reliability([one for found in results.values() for one in found["answers"]])))


if __name__ == "__main__":
    main()
