"""Which within-alphabet mistakes can be decided at all: python tests/ceiling.py NETWORK ...

Each NETWORK is what `evaluate` takes: pretrained, a run's folder or a file of weights, trained on
none of the 20 evaluation alphabets. Counts the first one's mistakes in the 10,000 within-alphabet
episodes by what the others answer, and by how well the two confused classes can be told apart; all
mistakes are written to mistakes.csv. --sheets FOLDER draws 100 of them and 30 right answers in any
order, each as its query and two supports A and B: the right one and the first network's choice (or,
where that is right, its second). Decide by eye before you look into key.json: one letter for each
row, small where unsure. --answers FILE counts such letters; those of docs/ceiling.md are in
tests/ceiling_answers.txt.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from siamese_oneshot import OmniglotDataModule
from siamese_oneshot.data.omniglot.loader import load_omniglot
from siamese_oneshot.evaluation.embeddings import ComputeConfig, Embeddings, embed, score_lists
from siamese_oneshot.evaluation.evaluator import EpisodeResults, answer
from siamese_oneshot.runs.checkpoint import load_trained

LOOK_ALIKE = 0.6  # AUROC below which two classes look alike
SURE = 0.5  # least probability of the wrong class
MISTAKES, RIGHT, PER_SHEET, SEED = 100, 30, 26, 0
Score = Callable[[Tensor, Tensor], Tensor]


def separability(first: Tensor, second: Tensor, score: Score) -> float:
    """AUROC of pairs of drawers within either class against pairs of drawers across both.

    Args:
        first, second: Embeddings of two classes by the same drawers, ``(drawers, d)``.
        score: Similarity of two embeddings.
    """
    i, j = torch.triu_indices(len(first), len(first), 1)
    same = torch.cat([score(first[i], first[j]), score(second[i], second[j])])
    across = torch.cat([score(first[i], second[j]), score(first[j], second[i])])
    labels = torch.cat([torch.ones(len(same)), torch.zeros(len(across))]).long()
    ranks = torch.cat([same, across]).argsort().argsort()  # no sigmoid, which would make ties
    return float(binary_auroc((ranks + 1) / (len(ranks) + 2), labels))


def draw_sheets(folder: Path, rows: list[dict[str, Any]], pixels: Tensor) -> None:
    """Draw rows in the given order, the two supports in a random one; the key is written apart."""
    folder.mkdir(parents=True, exist_ok=True)
    generator, key = np.random.default_rng(SEED), []
    for start in range(0, len(rows), PER_SHEET):
        part = rows[start : start + PER_SHEET]
        sheet = Image.new("L", (800, -(-len(part) // 2) * 112), 255)
        draw = ImageDraw.Draw(sheet)
        for n, row in enumerate(part):
            x, y = n % 2 * 400, n // 2 * 112
            right_is_a = bool(generator.integers(2))
            key.append({**row, "right": "A" if right_is_a else "B"})
            two = [row["support"], row["other"]][:: 1 if right_is_a else -1]
            draw.text((x + 2, y + 45), f"{start + n:3d}", 0)
            for m, image in enumerate([row["query"], *two]):
                left = x + 30 + 120 * m
                sheet.paste(Image.fromarray(255 - pixels[image].numpy()), (left, y + 3))
                draw.rectangle((left - 1, y + 2, left + 105, y + 108), outline=160)
        sheet.save(folder / f"sheet{start // PER_SHEET}.png")
    (folder / "key.json").write_text(json.dumps(key))


def count_answers(key: list[dict[str, Any]], letters: str) -> None:
    """Print how many of the letters A and B are right, for mistakes and right answers."""
    rows = list(zip(letters.split(), key, strict=True))
    for kind in ("mistakes", "right answers"):
        for name, unsure in (("sure", False), ("unsure", True)):
            said = [
                (letter.upper() == row["right"])
                for letter, row in rows
                if row["kind"] == kind and letter.islower() == unsure
            ]
            print(f"{kind}, reader {name}: {sum(said)} of {len(said)} rightly decided")


def episode_row(results: EpisodeResults, e: int, choice: int) -> dict[str, Any]:
    """Query, right support and the support of class ``choice`` in episode ``e``: image indices."""
    episodes = results.task.episodes
    supports = episodes.supports[e, :, 0]
    return {
        "episode": e,
        "query": int(episodes.queries[e]),
        "support": int(supports[episodes.answers[e]]),
        "other": int(supports[choice]),
    }


def shown_rows(results: EpisodeResults, mistakes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the sheets in their order, drawn at random."""
    generator = torch.Generator().manual_seed(SEED)
    sample = torch.randperm(len(mistakes), generator=generator)[:MISTAKES].tolist()
    shown = [{**mistakes[k], "kind": "mistakes"} for k in sample]
    right = results.is_correct.nonzero()[:, 0]
    for e in right[torch.randperm(len(right), generator=generator)[:RIGHT]].tolist():
        second = int(results.scores[e].topk(2).indices[1])
        shown.append({**episode_row(results, e, second), "kind": "right answers"})
    return [shown[k] for k in torch.randperm(len(shown), generator=generator).tolist()]


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--sheets", type=Path, help="folder for the sheets of images and the key")
    parser.add_argument("--answers", type=Path, help="a reader's letters, one for each row")
    options = parser.parse_args()
    all_results: list[EpisodeResults] = []
    scored: list[tuple[Embeddings, Score]] = []
    sure = []
    for name in options.networks:
        model = load_trained(name)
        data = OmniglotDataModule(split="lake", image_size=model.size)
        data.setup()
        task = next(t for t in data.test.episode_tasks if t.key == "within_alphabet")
        compute = ComputeConfig("cpu", "32-true")
        table = embed(model.network, data.dataset, data.test.indices, compute, name)
        results = answer(task, *score_lists(table, [task.episodes], model.network))
        probabilities = (results.scores / (model.temperature or 1.0)).softmax(1)
        sure.append(probabilities.gather(1, results.picks[:, None])[:, 0] >= SURE)
        all_results.append(results)
        scored.append((table, model.network.score))
    first = all_results[0]
    wrong = torch.stack([~results.is_correct for results in all_results])
    same = torch.stack([results.picks == first.picks for results in all_results]).all(0)
    certain = same & torch.stack(sure).all(0)
    classes = data.dataset.classes
    rows, known = [], {}
    for e in wrong[0].nonzero()[:, 0].tolist():
        row = episode_row(first, e, int(first.picks[e]))
        pair = tuple(sorted(int(classes[row[name]]) for name in ("support", "other")))
        if pair not in known:
            one, two = (data.split.test[classes[data.split.test] == c] for c in pair)
            known[pair] = max(separability(t[one], t[two], score) for t, score in scored)
        row |= {"others_wrong": int(wrong[1:, e].sum()), "all_choose_it": bool(same[e])}
        row |= {"all_sure": bool(certain[e]), "separability": round(known[pair], 3)}
        row |= {"classes": " - ".join(data.dataset.class_names[c] for c in pair)}
        rows.append(row)
    print(f"{len(rows)} mistakes of {options.networks[0]} in {first.n} episodes")
    for n in range(len(all_results)):
        count = sum(row["others_wrong"] == n for row in rows)
        print(f"  {count:5d} are mistakes of {n} of the {len(all_results) - 1} others")
    print(f"  {sum(row['all_choose_it'] for row in rows):5d}: all choose the same wrong class")
    print(f"  {sum(row['all_sure'] for row in rows):5d}: and each gives it at least {SURE:.0%}")
    alike = [row for row in rows if row["separability"] < LOOK_ALIKE]
    pairs = {row["classes"]: row["separability"] for row in alike}
    print(f"  {len(alike):5d} in {len(pairs)} pairs of classes with an AUROC below {LOOK_ALIKE}:")
    for names, value in sorted(pairs.items(), key=lambda item: item[1]):
        print(f"        {names} ({value:.2f})")
    with open("mistakes.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if options.sheets:
        draw_sheets(options.sheets, shown_rows(first, rows), load_omniglot().dataset.pixels)
        if options.answers:
            key = json.loads((options.sheets / "key.json").read_text())
            count_answers(key, options.answers.read_text())


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        main()
