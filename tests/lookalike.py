"""A look-alike of Omniglot's files, small enough to be written for every test run."""

import hashlib
import io
import zipfile

import numpy as np
import torch
from PIL import Image

from siamese_oneshot.data.omniglot.edition import Edition, ImageSet

PARTS = ("images_background", "images_evaluation", "all_runs")
SETS = {"images_background": {"Dog": 2}, "images_evaluation": {"Bee": 20, "Cat": 20}}


def png(ink):
    buffer = io.BytesIO()
    Image.fromarray(np.where(ink, 0, 255).astype(np.uint8)).convert("1").save(buffer, "PNG")
    return buffer.getvalue()


class Lookalike:
    """42 characters in three alphabets, and 20 runs; everything that must come out, beside it."""

    def __init__(self, folder):
        rng = np.random.default_rng(5)
        self.folder = folder
        self.ink = rng.random((42 * 20, 105, 105)) < 0.01
        characters = [
            (part, f"{alphabet}/character{number:02d}")
            for part, alphabets in SETS.items()
            for alphabet, count in alphabets.items()
            for number in range(1, count + 1)
        ]
        for place, ink in enumerate(self.ink):
            part, character = characters[place // 20]
            name = f"{part}/{character}/{place // 20:04d}_{place % 20 + 1:02d}.png"
            self.put(name, png(ink))
        self.names = [character for _, character in characters]
        self.runs = np.empty((3, 20, 20), np.int64)
        for run in range(20):
            first = 2 + 20 * (run % 2)  # the first class of Bee or of Cat
            order, answer = rng.permutation(20), rng.permutation(20)
            self.runs[1, run] = (first + order) * 20 + run
            self.runs[0, run] = (first + order[answer]) * 20 + (run + 1) % 20
            self.runs[2, run] = answer
            labels = ""
            for column in range(20):
                item, support = f"item{column + 1:02d}.png", f"class{column + 1:02d}.png"
                top = f"run{run + 1:02d}"
                self.put(f"all_runs/{top}/test/{item}", png(self.ink[self.runs[0, run, column]]))
                self.put(
                    f"all_runs/{top}/training/{support}", png(self.ink[self.runs[1, run, column]])
                )
                right = f"class{answer[column] + 1:02d}.png"
                labels += f"{top}/test/{item} {top}/training/{right}\n"
            self.put(f"all_runs/{top}/class_labels.txt", labels.encode())
        rows = np.stack([np.packbits(image) for image in self.ink])
        self.edition = Edition(
            ImageSet(PARTS[0], SETS[PARTS[0]], hashlib.sha256(rows[:40].tobytes()).hexdigest()),
            ImageSet(PARTS[1], SETS[PARTS[1]], hashlib.sha256(rows[40:].tobytes()).hexdigest()),
            hashlib.sha256(self.runs.astype("<i8").tobytes()).hexdigest(),
        )

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
        return (
            np.array_equal(found.dataset.pixels.numpy(), np.where(self.ink, 255, 0))
            and torch.stack([found.runs.queries, found.runs.supports, found.runs.answers])
            .numpy()
            .tolist()
            == self.runs.tolist()
        )
