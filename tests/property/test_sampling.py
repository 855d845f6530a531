"""Whatever the images: the promises of samplers, episodes, splits and augmentation, or an error."""

from __future__ import annotations

from itertools import combinations

import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, composite

from siamese_oneshot.data.augmentation import Augmentation, apply_warp
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import sample_alphabet_batch, sample_episodes, sample_runs
from siamese_oneshot.data.pairs import sample_pairs
from siamese_oneshot.data.samplers import ResumableSampler
from siamese_oneshot.data.splits import split_dataset
from siamese_oneshot.evaluation.metrics import accuracy_vs_way, choose
from siamese_oneshot.utils.errors import UserError

SEEDS = st.integers(0, 2**32 - 1)


@composite
def some_dataset(draw: DrawFn) -> CharacterDataset:
    """One to five alphabets of up to seven characters, each by some of five drawers; 1 pixel."""
    sizes = draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    who = [draw(st.sets(st.integers(0, 4), min_size=1, max_size=5)) for _ in range(sum(sizes))]
    classes = [k for k, drawers in enumerate(who) for _ in drawers]
    owners = [alphabet for alphabet, size in enumerate(sizes) for _ in range(size)]
    return CharacterDataset(
        pixels=torch.arange(len(classes)).view(-1, 1, 1).to(torch.uint8),
        classes=torch.tensor(classes),
        drawers=torch.tensor([one for drawers in who for one in sorted(drawers)]),
        class_names=tuple(f"A{owner}/{k:02d}" for k, owner in enumerate(owners)),
        alphabet_names=tuple(f"A{k}" for k in range(len(sizes))),
        class_alphabets=torch.tensor(owners),
        source="folder",
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def whole(dataset: CharacterDataset) -> ClassIndex:
    return ClassIndex(dataset, torch.arange(len(dataset)))


@given(some_dataset(), st.integers(-1, 40), st.booleans(), SEEDS)
def test_pairs(dataset: CharacterDataset, n: int, within: bool, seed: int) -> None:
    try:
        pairs = sample_pairs(whole(dataset), n, seeded(seed), within)
    except UserError:
        once = int(dataset.classes.bincount().min()) == 1
        sizes = dataset.class_alphabets.bincount()
        lonely = int(sizes.min()) == 1 if within else len(dataset.class_names) == 1
        assert n < 1 or once or lonely
        return
    assert len(pairs) == n
    assert int(pairs.same.sum()) == n // 2
    assert (pairs.first != pairs.second).all()
    left, right = dataset.classes[pairs.first], dataset.classes[pairs.second]
    assert ((left == right) == pairs.same.bool()).all()
    if within:
        assert (dataset.class_alphabets[left] == dataset.class_alphabets[right]).all()
    assert sample_pairs(whole(dataset), n, seeded(seed), within).digest == pairs.digest


@given(some_dataset(), st.integers(0, 6), st.integers(0, 3), SEEDS)
def test_episodes(dataset: CharacterDataset, way: int, shot: int, seed: int) -> None:
    class_index = whole(dataset)
    try:
        episodes = sample_episodes(class_index, 30, seeded(seed), way, shot)
    except UserError:
        most = len(dataset.class_names)
        assert way < 1 or shot < 1 or way > most or int(class_index.counts.min()) < shot + 1
        return
    assert episodes.supports.shape == (30, way, shot)
    check(dataset, episodes.queries, episodes.supports, episodes.answers)


def that_share(dataset: CharacterDataset, way: int, drawers: int) -> int:
    """How many alphabets have so many drawers who have drawn the same ``way`` characters."""
    count = 0
    for alphabet in range(len(dataset.alphabet_names)):
        mine = dataset.alphabets == alphabet
        drawn = {
            who: set(dataset.classes[mine & (dataset.drawers == who)].tolist()) for who in range(5)
        }
        groups = combinations(drawn.values(), drawers)
        count += any(len(set.intersection(*group)) >= way for group in groups)
    return count


@given(some_dataset(), st.integers(1, 5), st.integers(1, 6), SEEDS)
def test_runs(dataset: CharacterDataset, way: int, runs: int, seed: int) -> None:
    able = that_share(dataset, way, 2)
    try:
        episodes = sample_runs(whole(dataset), runs, seeded(seed), way)
    except UserError:
        assert able == 0
        return
    assert able > 0
    assert len(episodes) == runs * way
    check(dataset, episodes.queries, episodes.supports, episodes.answers)
    owners = dataset.alphabets[episodes.supports].flatten(1)
    assert (owners == owners[:, :1]).all()


def check(
    dataset: CharacterDataset, queries: torch.Tensor, supports: torch.Tensor, answers: torch.Tensor
) -> None:
    """Distinct classes, one of them the query's, none by its drawer."""
    classes = dataset.classes[supports]
    assert (classes == classes[..., :1]).all()
    assert all(len(set(row)) == len(row) for row in classes[..., 0].tolist())
    right = classes[torch.arange(len(answers)), answers, 0]
    assert (right == dataset.classes[queries]).all()
    by = dataset.drawers[supports]
    assert (by != dataset.drawers[queries][:, None, None]).all()
    assert all(len(set(shots)) == len(shots) for row in supports.tolist() for shots in row)


@given(some_dataset(), st.integers(1, 3), st.integers(2, 4), st.integers(2, 3), SEEDS)
def test_batches_of_alphabets(
    dataset: CharacterDataset, alphabets: int, characters: int, drawers: int, seed: int
) -> None:
    able = that_share(dataset, characters, drawers)
    try:
        batch = sample_alphabet_batch(whole(dataset), alphabets, characters, drawers, seeded(seed))
    except UserError:
        assert able < alphabets
        return
    assert able >= alphabets
    owners, classes = dataset.alphabets[batch], dataset.classes[batch]
    assert batch.flatten().unique().numel() == alphabets * characters * drawers
    assert len(set(owners[:, 0, 0].tolist())) == alphabets
    assert (owners == owners[:, :1, :1]).all()
    assert (classes == classes[..., :1]).all()
    assert (dataset.drawers[batch] == dataset.drawers[batch][:, :1]).all()


@given(some_dataset())
def test_shares_are_disjoint_and_complete(dataset: CharacterDataset) -> None:
    try:
        split = split_dataset(dataset, "ratio_60_20_20")
    except UserError:
        sizes = dataset.class_alphabets.bincount()
        assert len(sizes) < 3
        assert int(sizes.min()) < 3
        return
    parts = (split.train, split.validation, split.test)
    assert all(len(part) for part in parts)
    assert torch.cat(parts).sort().values.tolist() == list(range(len(dataset)))
    characters = [set(dataset.classes[part].tolist()) for part in parts]
    assert sum(map(len, characters)) == len(set.union(*characters))


@given(
    st.builds(
        Augmentation,
        rotation=st.floats(0, 180),
        shear=st.floats(0, 0.9),
        scale=st.tuples(st.floats(0.2, 1.0), st.floats(1.0, 3.0)),
        shift=st.floats(0, 50),
        probability=st.floats(0, 1),
        elastic=st.floats(0, 20),
        grid=st.integers(2, 8),
    ),
    st.integers(1, 6),
    st.integers(5, 30),
    SEEDS,
)
def test_augmentations_stay_ink_on_paper(made: Augmentation, n: int, side: int, seed: int) -> None:
    warp = made.draw(n, seeded(seed))
    images = torch.rand(n, 1, side, side, generator=seeded(seed))
    after = apply_warp(images, warp)
    assert after.shape == images.shape
    assert after.isfinite().all()
    assert after.min() >= 0
    assert after.max() <= 1 + 1e-5
    assert not apply_warp(torch.zeros_like(images), warp).any(), "paper stays paper"
    again = made.draw(n, seeded(seed))
    assert torch.equal(again.matrix, warp.matrix)


@given(st.integers(1, 30), st.integers(0, 200))
def test_an_epoch_continues_where_the_run_stands(steps: int, done: int) -> None:
    left = list(ResumableSampler(steps, lambda: (done, steps)))
    assert left[0] == done
    assert (left[-1] + 1) % steps == 0
    assert len(left) <= steps


@given(
    st.integers(2, 7).flatmap(
        lambda way: st.lists(
            st.lists(st.floats(width=32), min_size=way, max_size=way), min_size=1, max_size=20
        )
    ),
    SEEDS,
)
def test_the_choice_is_one_of_the_best(rows: list[list[float]], seed: int) -> None:
    scores = torch.tensor(rows)
    picks = choose(scores, seeded(seed)).tolist()
    for row, pick in zip(rows, picks, strict=True):
        numbers = [one for one in row if one == one]
        assert not numbers or row[pick] == max(numbers) or max(numbers) == float("-inf")


@given(st.integers(2, 12), st.integers(1, 20), SEEDS)
def test_accuracy_falls_with_every_way(way: int, episodes: int, seed: int) -> None:
    rng = seeded(seed)
    scores = torch.randint(4, (episodes, way), generator=rng).float()
    answers = torch.randint(way, (episodes,), generator=rng)
    found = accuracy_vs_way(scores, answers)
    assert abs(float(found[0]) - 1) < 1e-12
    assert (found.diff() <= 1e-12).all()
    best = scores == scores.max(1, keepdim=True).values
    right = best.gather(1, answers[:, None])[:, 0] / best.sum(1)  # a draw among equals
    assert abs(float(found[-1]) - float(right.double().mean())) < 1e-6
