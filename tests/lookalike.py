"""A look-alike of Omniglot's files, small enough to be written for every test run."""

import hashlib
import io
import zipfile

import numpy as np
from PIL import Image

from siamese_oneshot.data.omniglot.edition import Edition, ImageSet

PARTS = ("images_background", "images_evaluation", "all_runs")
SETS = {"images_background": {"Dog": 2}, "images_evaluation": {"Bee": 20, "Cat": 20}}
DRAWERS, RUNS = 4, 2


def png(ink, mode="1"):
    buffer = io.BytesIO()
    Image.fromarray(np.where(ink, 0, 255).astype(np.uint8)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


class Lookalike:
    """42 characters in three alphabets, and 2 runs; everything that must come out, beside it."""

    def __init__(self, folder):
        rng = np.random.default_rng(5)
        self.folder = folder
        self.ink = rng.random((42 * DRAWERS, 105, 105)) < 0.01
        characters = [
            (part, f"{alphabet}/character{number:02d}")
            for part, alphabets in SETS.items()
            for alphabet, count in alphabets.items()
            for number in range(1, count + 1)
        ]
        self.names = [character for _, character in characters]
        for index, ink in enumerate(self.ink):
            number, drawer = divmod(index, DRAWERS)
            part, character = characters[number]
            self.put(f"{part}/{character}/{number:04d}_{drawer + 1:02d}.png", png(ink))
        self.runs = np.empty((3, RUNS, 20), np.int64)
        for run in range(RUNS):
            first = 2 + 20 * run  # the first class of Bee, then of Cat
            order, answer = rng.permutation(20), rng.permutation(20)
            self.runs[0, run] = (first + order[answer]) * DRAWERS + run + 1
            self.runs[1, run] = (first + order) * DRAWERS + run
            self.runs[2, run] = answer
            top, labels = f"run{run + 1:02d}", ""
            for column in range(20):
                item, support = (f"test/item{column + 1:02d}", f"training/class{column + 1:02d}")
                for row, name in enumerate((item, support)):
                    ink = self.ink[self.runs[row, run, column]]
                    self.put(f"all_runs/{top}/{name}.png", png(ink))
                labels += f"{top}/{item}.png {top}/training/class{answer[column] + 1:02d}.png\n"
            self.put(f"all_runs/{top}/class_labels.txt", labels.encode())
        rows = np.stack([np.packbits(image) for image in self.ink])
        parts = rows[: 2 * DRAWERS], rows[2 * DRAWERS :]
        sets = (
            ImageSet(SETS[part], hashlib.sha256(images.tobytes()).hexdigest(), DRAWERS)
            for part, images in zip(PARTS, parts, strict=False)
        )
        runs_digest = hashlib.sha256(self.runs.astype("<i8").tobytes()).hexdigest()
        self.edition = Edition(*sets, runs_digest, RUNS)

    def put(self, name, data):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def zips(self, folder, parts=PARTS):
        folder.mkdir(parents=True, exist_ok=True)
        for part in parts:
            with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
                for file in sorted((self.folder / part).rglob("*.*")):
                    # the official all_runs.zip has no folder above run01 … run20
                    above = self.folder / part if part == "all_runs" else self.folder
                    archive.write(file, file.relative_to(above).as_posix())
        return folder

    def matches(self, found):
        queries, supports, answers = self.runs
        runs = all(
            found.runs.queries[20 * run + k] == queries[run, k]
            and found.runs.supports[20 * run + k, :, 0].tolist() == supports[run].tolist()
            and found.runs.answers[20 * run + k] == answers[run, k]
            for run in range(RUNS)
            for k in range(20)
        )
        return np.array_equal(found.dataset.pixels, np.where(self.ink, 255, 0)) and runs
