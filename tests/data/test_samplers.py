"""Training samplers: whole epochs, shards, and equal batches for any number of workers."""

from collections import Counter

import pytest
import torch

from siamese_oneshot.data.augmentation import Augmentation
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.samplers import (
    EpisodeSampler,
    PairSampler,
    ResumableSampler,
    generator_for,
)
from siamese_oneshot.utils.errors import UserError

ALWAYS = Augmentation(probability=1.0, elastic=1.0)
PLAIN = torch.eye(2, 3)


@pytest.fixture(scope="module")
def class_index(dataset):
    return ClassIndex(dataset, torch.arange(len(dataset)))


def warp_of(spec):
    return (None, None) if spec.warp is None else (spec.warp.matrix, spec.warp.displacement)


def alike(one, other):
    """Whether two plans are the same in every part."""
    parts = [
        (one.indices, other.indices), (one.same, other.same),
        *zip(warp_of(one), warp_of(other), strict=True),
    ]  # fmt: skip
    return all(a is b is None or (None not in (a, b) and torch.equal(a, b)) for a, b in parts)


STREAMS = {
    "fresh pairs": lambda: PairSampler(8, 5, within_alphabet=True, augmentation=ALWAYS),
    "plain pairs": lambda: PairSampler(8, 5),
    "fixed pairs": lambda: PairSampler(8, 5, n_fixed_pairs=20, augmentation=ALWAYS),
    "stored copies": lambda: PairSampler(
        8, 5, n_fixed_pairs=10, n_augmented_copies=2, augmentation=ALWAYS
    ),
    "alphabets": lambda: EpisodeSampler(2, 4, 2, 5, augmentation=ALWAYS),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_batch_depends_on_the_seed_and_its_number_alone(class_index, stream):
    """So that neither workers nor a resumption change it."""
    one, other, elsewhere = (STREAMS[stream]().prepare(class_index, seed) for seed in (3, 3, 4))
    torch.manual_seed(1)
    forward = [one[number] for number in range(12)]
    torch.manual_seed(2)
    before = torch.get_rng_state()
    backward = [other[number] for number in reversed(range(12))][::-1]
    assert torch.equal(before, torch.get_rng_state())
    assert all(map(alike, forward, backward))
    assert not any(map(alike, forward, forward[1:]))
    assert not any(alike(spec, elsewhere[number]) for number, spec in enumerate(forward))


def test_seed_zero_is_a_seed_and_every_list_of_numbers_another():
    lists = [(), (1,), (0, 1), (1, 2), (2, 1), (0, 1, 2), (2**31, 1), (-1, 1)]
    first = {torch.rand(4, generator=generator_for(*numbers)).sum().item() for numbers in lists}
    assert len(first) == len(lists)
    again = [torch.rand(3, generator=generator_for(0, 7)) for _ in range(2)]
    assert torch.equal(*again)


@pytest.mark.parametrize(
    ("done", "steps", "expected"),
    [(0, 4, [0, 1, 2, 3]), (12, 4, [12, 13, 14, 15]), (14, 4, [14, 15]), (3, 3, [3, 4, 5])],
)
def test_an_epoch_continues_where_the_run_stands(done, steps, expected):
    sampler = ResumableSampler(4, lambda: (done, steps))
    assert (len(sampler), list(sampler), list(sampler)) == (4, expected, expected)


def test_without_a_trainer_each_iteration_is_the_next_epoch():
    sampler = ResumableSampler(3, lambda: None)
    assert [list(sampler) for _ in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize("within", [False, True])
def test_fresh_pairs(dataset, class_index, within):
    fixed = PairSampler(8, 1, within_alphabet=within, n_fixed_pairs=80).prepare(class_index, 0)
    across = dataset.alphabets[fixed.pairs.first] != dataset.alphabets[fixed.pairs.second]
    assert bool(across.any()) != within
    stream = PairSampler(10, 7, within_alphabet=within).prepare(class_index, 0)
    assert (len(stream), stream.n_pairs) == (7, 70)
    crossed = 0
    for number in range(30):
        spec = stream[number]
        assert spec.indices.shape == (2, 10)
        assert spec.warp is None
        assert spec.same.sum() == 5
        classes, alphabets = dataset.classes[spec.indices], dataset.alphabets[spec.indices]
        assert torch.equal((classes[0] == classes[1]).float(), spec.same)
        assert (spec.indices[0] != spec.indices[1]).all()
        crossed += int((alphabets[0] != alphabets[1]).sum())
    assert (crossed == 0) == within


@pytest.mark.parametrize("fixed", [None, 20])
def test_each_twin_is_distorted_by_its_own_draw(class_index, fixed):
    spec = PairSampler(20, 1, n_fixed_pairs=fixed, augmentation=ALWAYS).prepare(class_index, 0)[0]
    assert spec.warp.matrix.shape == (2, 20, 2, 3)
    assert spec.warp.displacement.shape == (2, 20, 2, 5, 5)
    assert len(spec.warp.matrix.flatten(0, 1).unique(dim=0)) == 40
    assert len(spec.warp.displacement.flatten(0, 1).unique(dim=0)) == 40


def test_a_fixed_set_without_copies_is_drawn_once_and_distorted_afresh(dataset, class_index):
    stream = PairSampler(8, 99, n_fixed_pairs=20, augmentation=ALWAYS).prepare(class_index, 0)
    assert (len(stream), stream.n_pairs) == (3, 20)
    epochs = [[stream[3 * epoch + step] for step in range(3)] for epoch in range(2)]
    assert [spec.indices.shape[1] for spec in epochs[0]] == [8, 8, 4]
    pairs = [torch.cat([spec.indices for spec in epoch], 1) for epoch in epochs]
    sets = [Counter(map(tuple, each.T.tolist())) for each in pairs]
    drawn = torch.stack([stream.pairs.first, stream.pairs.second])
    assert sets[0] == sets[1] == Counter(map(tuple, drawn.T.tolist()))
    assert not torch.equal(*pairs)
    matrices = [
        torch.cat([spec.warp.matrix for spec in epoch], 1).flatten(0, 1) for epoch in epochs
    ]
    assert len(torch.cat(matrices).unique(dim=0)) == 80
    assert stream.pairs.same.sum() == 10
    same = torch.cat([spec.same for spec in epochs[0]])
    classes = dataset.classes[pairs[0]]
    assert torch.equal((classes[0] == classes[1]).float(), same)


def test_stored_copies_of_a_fixed_set(class_index):
    """Each pair once plain and ``copies`` times distorted, the same copies in every epoch."""
    stream = PairSampler(
        16, 99, n_fixed_pairs=30, n_augmented_copies=8, augmentation=ALWAYS
    ).prepare(class_index, 0)
    assert (stream.n_pairs, len(stream)) == (270, 17)
    seen, orders = [], []
    for epoch in range(2):
        specs = [stream[17 * epoch + step] for step in range(17)]
        items = Counter()
        for spec in specs:
            n = len(spec.same)
            for k in range(n):
                siamese = [
                    (
                        spec.indices[t, k].item(),
                        spec.warp.matrix[t, k],
                        spec.warp.displacement[t, k],
                    )
                    for t in (0, 1)
                ]
                plain = [torch.equal(matrix, PLAIN) for _, matrix, _ in siamese]
                assert plain[0] == plain[1] == bool((siamese[0][2] == 0).all())
                assert plain[0] or not torch.equal(siamese[0][1], siamese[1][1])
                key = tuple(
                    (p, *m.flatten().tolist(), *b.flatten().tolist()) for p, m, b in siamese
                )
                items[key, spec.same[k].item()] += 1
        seen.append(items)
        orders.append(torch.cat([spec.indices for spec in specs], 1))
    assert seen[0] == seen[1]
    assert set(seen[0].values()) == {1}  # the pairs of this seed are all different
    together = Counter((first[0], second[0]) for (first, second), _ in seen[0])
    assert set(together.values()) == {9}
    assert len(together) == 30
    plain = Counter(
        (first[0], second[0]) for (first, second), _ in seen[0] if first[1:7] == (1, 0, 0, 0, 1, 0)
    )
    assert plain == Counter(dict.fromkeys(together, 1))
    assert not torch.equal(*orders)
    augmented_spec = {twin[1:] for key, _ in seen[0] for twin in key}
    assert len(augmented_spec) == 30 * 8 * 2 + 1  # every draw is another one; plain is one


def test_batches_of_whole_alphabets(dataset, class_index):
    stream = EpisodeSampler(3, 5, 4, 11, random_rot90=False).prepare(class_index, 0)
    assert len(stream) == 11
    spec = stream[200]
    assert spec.indices.shape == (3, 5, 4)
    assert spec.warp is spec.same is None
    augmented_spec = EpisodeSampler(3, 5, 4, 11, random_rot90=False, augmentation=ALWAYS).prepare(
        class_index, 0
    )[200]
    assert torch.equal(augmented_spec.indices, spec.indices)
    assert augmented_spec.warp.matrix.shape == (3, 5, 4, 2, 3)
    assert augmented_spec.warp.displacement.shape == (3, 5, 4, 2, 5, 5)
    assert len(augmented_spec.warp.matrix.flatten(0, 2).unique(dim=0)) == 60


def test_each_alphabet_is_turned_as_a_whole(class_index):
    stream = EpisodeSampler(3, 5, 2, 1).prepare(class_index, 0)
    counts = Counter()
    for number in range(100):
        matrix = stream[number].warp.matrix
        assert (matrix == matrix[:, :1, :1]).all()
        for a, b, x, c, d, y in matrix[:, 0, 0].flatten(1).tolist():
            assert (a, b, x, y) == (d, -c, 0, 0)
            counts[a, c] += 1
    assert set(counts) == {(1, 0), (0, 1), (-1, 0), (0, -1)}
    assert max(abs(count - 75) for count in counts.values()) < 40  # sd 7.5


def test_turns_and_augmentation_together(class_index):
    small = Augmentation(rotation=1.0, shear=0.01, scale=(0.99, 1.01), shift=1.0, probability=1.0)
    turned = EpisodeSampler(4, 5, 2, 1, augmentation=small).prepare(class_index, 0)[0]
    unrotated = EpisodeSampler(4, 5, 2, 1, random_rot90=False, augmentation=small).prepare(
        class_index, 0
    )[0]
    bare = EpisodeSampler(4, 5, 2, 1).prepare(class_index, 0)[0].warp.matrix[..., :2]
    assert torch.equal(turned.indices, unrotated.indices)
    away = (turned.warp.matrix[..., :2] - bare).abs().flatten(1).amax(1)
    assert (away < 0.06).all()
    assert len(turned.warp.matrix.flatten(0, 2).unique(dim=0)) == 40


def test_a_style_is_a_whole_alphabets(class_index):
    styled = EpisodeSampler(3, 5, 2, 1, alphabet_augmentation=ALWAYS).prepare(class_index, 0)
    spec, other = styled[0], styled[1]
    assert (spec.warp.matrix == spec.warp.matrix[:, :1, :1]).all()
    assert (spec.warp.displacement == spec.warp.displacement[:, :1, :1]).all()
    assert len(torch.cat([spec.warp.matrix, other.warp.matrix])[:, 0, 0].unique(dim=0)) == 6
    both = EpisodeSampler(3, 5, 2, 1, alphabet_augmentation=ALWAYS, augmentation=ALWAYS).prepare(
        class_index, 0
    )[0]
    assert len(both.warp.matrix.flatten(0, 2).unique(dim=0)) == 30
    own = (
        both.warp.matrix[..., :2] @ spec.warp.matrix[..., :2].inverse()
    )  # what is the image's alone
    assert (own.det() > 0.3).all()
    assert torch.equal(both.indices, spec.indices)


def half(dataset, which):
    first = dataset.class_alphabets[dataset.classes] < 2
    return ClassIndex(dataset, (first if which == 0 else ~first).nonzero().flatten())


@pytest.mark.parametrize(("generated", "counts"), [(0.0, {0}), (1.0, {1}), (1.25, {1, 2})])
def test_so_many_alphabets_are_generated_ones(dataset, generated, counts):
    stream = EpisodeSampler(2, 4, 2, 1, n_synthetic=generated)
    stream.prepare(half(dataset, 0), 0, half(dataset, 1) if generated else None)
    seen = Counter()
    for number in range(100):
        indices = stream[number].indices
        assert indices.shape == (2, 4, 2)
        made = dataset.alphabets[indices] >= 2
        assert (made == made[:, :1, :1]).all()
        seen[int(made[:, 0, 0].sum())] += 1
    assert set(seen) == counts
    assert seen[2] == pytest.approx(100 * (generated % 1), abs=20)  # sd 4


def test_generated_alphabets_that_are_not_enough(dataset):
    stream = EpisodeSampler(4, 4, 2, 1, n_synthetic=2.5)
    with pytest.raises(UserError, match=r"n_synthetic=3: .* 3 alphabets .* 2 of the 2 to train on"):
        stream.prepare(half(dataset, 0), 0, half(dataset, 1))
    for many in (2, 3):
        with pytest.raises(UserError, match=f"n_synthetic={many}"):
            EpisodeSampler(2, 4, 2, 1, n_synthetic=many)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PairSampler(1, 5), "batch_size=1"),
        (lambda: PairSampler(8, 5, n_fixed_pairs=7), "n_fixed_pairs=7"),
        (
            lambda: PairSampler(8, 5, n_augmented_copies=2, augmentation=ALWAYS),
            "n_augmented_copies=2: it needs",
        ),
        (
            lambda: PairSampler(8, 5, n_fixed_pairs=9, n_augmented_copies=2),
            "n_augmented_copies=2: it needs",
        ),
        (lambda: EpisodeSampler(0, 2, 2, 5), "n_alphabets=0"),
        (lambda: EpisodeSampler(1, 1, 2, 5), "n_way=1"),
        (lambda: EpisodeSampler(1, 2, 1, 5), "n_drawers=1"),
        (
            lambda: EpisodeSampler(
                1,
                2,
                2,
                5,
                augmentation=ALWAYS,
                alphabet_augmentation=Augmentation(elastic=1.0, grid=6),
            ),
            "alphabet_augmentation.grid=6: it must equal augmentation.grid=5",
        ),
        (
            lambda: EpisodeSampler(1, 2, 2, 5, alphabet_augmentation={"rotation": 20}),
            "this sampler has none to change",
        ),
    ],
)
def test_what_makes_no_batch_is_an_error(make, said):
    with pytest.raises(UserError, match=said):
        make()


@pytest.mark.parametrize("world", [1, 2, 4])
def test_shares_of_pairs_make_the_whole_batch(class_index, world):
    whole = PairSampler(8, 3, augmentation=Augmentation(elastic=1.0)).prepare(class_index, 0)
    parts = [whole[1].shard(rank, world) for rank in range(world)]
    assert all(len(part.same) == 8 // world for part in parts)
    assert rows(parts) == rows([whole[1]])


def rows(specs):
    """A row for each pair: indices, warps, label; in an order of their own."""
    found = []
    for spec in specs:
        assert spec.warp is not None
        assert spec.same is not None
        for n, same in enumerate(spec.same.tolist()):
            of_pair = (spec.indices[:, n], spec.warp.matrix[:, n], spec.warp.displacement[:, n])
            found.append([same, *(x for part in of_pair for x in part.flatten().tolist())])
    return sorted(found)


def test_shares_of_alphabets_make_the_whole_batch(class_index):
    whole = EpisodeSampler(4, 4, 2, 3).prepare(class_index, 0)
    first, second = (whole[2].shard(rank, 2) for rank in range(2))
    assert first.indices.shape == (2, 4, 2)
    assert first.same is None
    assert torch.equal(torch.cat([first.indices, second.indices])[[0, 2, 1, 3]], whole[2].indices)
    assert first.warp is not None
    assert torch.equal(first.warp.matrix, whole[2].warp.matrix[::2])


def test_a_batch_that_cannot_be_divided_is_refused(class_index):
    whole = PairSampler(6, 3).prepare(class_index, 0)
    with pytest.raises(UserError, match="6 pairs cannot be divided among 4 devices"):
        whole[0].shard(0, 4)
