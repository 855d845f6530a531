"""Training batches as plans: whole epochs counted out, and the same for whatever workers."""

from collections import Counter

import pytest
import torch
from torch.utils.data import DataLoader

from siamese_oneshot.data.batches import EpisodeBatches, PairBatches, generator_for
from siamese_oneshot.data.distort import Distortion
from siamese_oneshot.data.plan import StepSampler
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.errors import UserError

ALWAYS = Distortion(probability=1.0, elastic=1.0)
PLAIN = torch.eye(2, 3)


@pytest.fixture(scope="module")
def roster(drawings):
    return Roster(drawings, torch.arange(len(drawings)))


def alike(one, other):
    """Whether two plans are the same in every part."""
    parts = [(getattr(one, k), getattr(other, k)) for k in ("positions", "matrix", "bend", "same")]
    return all(a is b is None or (None not in (a, b) and torch.equal(a, b)) for a, b in parts)


STREAMS = {
    "fresh pairs": lambda: PairBatches(8, 5, within_alphabet=True, distortion=ALWAYS),
    "plain pairs": lambda: PairBatches(8, 5),
    "fixed pairs": lambda: PairBatches(8, 5, fixed=20, distortion=ALWAYS),
    "stored copies": lambda: PairBatches(8, 5, fixed=10, copies=2, distortion=ALWAYS),
    "alphabets": lambda: EpisodeBatches(2, 4, 2, 5, distortion=ALWAYS),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_batch_depends_on_the_seed_and_its_number_alone(roster, stream):
    one, other = STREAMS[stream]().prepare(roster, 3), STREAMS[stream]().prepare(roster, 3)
    elsewhere = STREAMS[stream]().prepare(roster, 4)
    torch.manual_seed(1)
    forward = [one[number] for number in range(12)]
    torch.manual_seed(2)
    before = torch.get_rng_state()
    backward = [other[number] for number in reversed(range(12))][::-1]
    assert torch.equal(before, torch.get_rng_state())
    assert all(map(alike, forward, backward))
    assert not any(map(alike, forward, forward[1:]))
    assert not any(alike(plan, elsewhere[number]) for number, plan in enumerate(forward))


@pytest.mark.parametrize("stream", ["fresh pairs", "stored copies", "alphabets"])
def test_workers_change_nothing(roster, stream):
    plans = {}
    for workers in (0, 2):
        made = STREAMS[stream]().prepare(roster, 5)
        seen = plans[workers] = []
        loader = DataLoader(
            made, batch_size=None, sampler=StepSampler(len(made), lambda seen=seen: len(seen)),
            num_workers=workers, persistent_workers=workers > 0,
        )  # fmt: skip
        for _ in range(2):
            seen += list(loader)
    assert len(plans[0]) == len(plans[2]) == 2 * len(made)
    assert all(map(alike, plans[0], plans[2]))
    assert alike(plans[0][len(made) + 1], made[len(made) + 1])


def test_seed_zero_is_a_seed_and_every_list_of_numbers_another():
    lists = [(), (1,), (0, 1), (1, 2), (2, 1), (0, 1, 2), (2**31, 1), (-1, 1)]
    first = {torch.rand(4, generator=generator_for(*numbers)).sum().item() for numbers in lists}
    assert len(first) == len(lists)
    again = [torch.rand(3, generator=generator_for(0, 7)) for _ in range(2)]
    assert torch.equal(*again)


@pytest.mark.parametrize(
    ("done", "left"), [(0, [0, 1, 2, 3]), (12, [12, 13, 14, 15]), (14, [14, 15])]
)
def test_the_sampler_goes_on_where_the_run_stands(done, left):
    sampler = StepSampler(4, lambda: done)
    assert (len(sampler), list(sampler), list(sampler)) == (4, left, left)


@pytest.mark.parametrize("within", [False, True])
def test_fresh_pairs(drawings, roster, within):
    stream = PairBatches(10, 7, within_alphabet=within).prepare(roster, 0)
    assert (len(stream), stream.items) == (7, 70)
    crossed = 0
    for number in range(30):
        plan = stream[number]
        assert plan.positions.shape == (2, 10)
        assert plan.matrix is plan.bend is None
        assert plan.same.sum() == 5
        classes, alphabets = drawings.classes[plan.positions], drawings.alphabets[plan.positions]
        assert torch.equal((classes[0] == classes[1]).float(), plan.same)
        assert (plan.positions[0] != plan.positions[1]).all()
        crossed += int((alphabets[0] != alphabets[1]).sum())
    assert (crossed == 0) == within


@pytest.mark.parametrize("fixed", [None, 20])
def test_each_twin_is_distorted_by_its_own_draw(roster, fixed):
    plan = PairBatches(20, 1, fixed=fixed, distortion=ALWAYS).prepare(roster, 0)[0]
    assert plan.matrix.shape == (2, 20, 2, 3)
    assert plan.bend.shape == (2, 20, 2, 5, 5)
    assert len(plan.matrix.flatten(0, 1).unique(dim=0)) == 40
    assert len(plan.bend.flatten(0, 1).unique(dim=0)) == 40


def test_a_fixed_set_without_copies_is_drawn_once_and_distorted_afresh(drawings, roster):
    stream = PairBatches(8, 99, fixed=20, distortion=ALWAYS).prepare(roster, 0)
    assert (len(stream), stream.items) == (3, 20)
    epochs = [[stream[3 * epoch + step] for step in range(3)] for epoch in range(2)]
    assert [plan.positions.shape[1] for plan in epochs[0]] == [8, 8, 4]
    pairs = [torch.cat([plan.positions for plan in epoch], 1) for epoch in epochs]
    sets = [Counter(map(tuple, each.T.tolist())) for each in pairs]
    drawn = torch.stack([stream.pairs.first, stream.pairs.second])
    assert sets[0] == sets[1] == Counter(map(tuple, drawn.T.tolist()))
    assert not torch.equal(*pairs)
    matrices = [torch.cat([plan.matrix for plan in epoch], 1).flatten(0, 1) for epoch in epochs]
    assert len(torch.cat(matrices).unique(dim=0)) == 80
    assert stream.pairs.same.sum() == 10
    same = torch.cat([plan.same for plan in epochs[0]])
    classes = drawings.classes[pairs[0]]
    assert torch.equal((classes[0] == classes[1]).float(), same)


@pytest.mark.parametrize("within", [False, True])
def test_a_fixed_set_within_alphabets(drawings, roster, within):
    pairs = PairBatches(8, 1, within_alphabet=within, fixed=80).prepare(roster, 0).pairs
    crossed = drawings.alphabets[pairs.first] != drawings.alphabets[pairs.second]
    assert bool(crossed.any()) != within


def test_stored_copies_of_a_fixed_set(roster):
    """Each pair once plain and ``copies`` times distorted, the same copies in every epoch."""
    stream = PairBatches(16, 99, fixed=30, copies=8, distortion=ALWAYS).prepare(roster, 0)
    assert (stream.items, len(stream)) == (270, 17)
    seen, orders = [], []
    for epoch in range(2):
        plans = [stream[17 * epoch + step] for step in range(17)]
        items = Counter()
        for plan in plans:
            n = len(plan.same)
            for k in range(n):
                twins = [
                    (plan.positions[t, k].item(), plan.matrix[t, k], plan.bend[t, k])
                    for t in (0, 1)
                ]
                plain = [torch.equal(matrix, PLAIN) for _, matrix, _ in twins]
                assert plain[0] == plain[1] == bool((twins[0][2] == 0).all())
                assert plain[0] or not torch.equal(twins[0][1], twins[1][1])
                key = tuple((p, *m.flatten().tolist(), *b.flatten().tolist()) for p, m, b in twins)
                items[key, plan.same[k].item()] += 1
        seen.append(items)
        orders.append(torch.cat([plan.positions for plan in plans], 1))
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
    distorted = {twin[1:] for key, _ in seen[0] for twin in key}
    assert len(distorted) == 30 * 8 * 2 + 1  # every draw is another one; plain is one


def test_batches_of_whole_alphabets(drawings, roster):
    stream = EpisodeBatches(3, 5, 4, 11, turns=False).prepare(roster, 0)
    assert len(stream) == 11
    plan = stream[200]
    assert plan.positions.shape == (3, 5, 4)
    assert plan.matrix is plan.bend is plan.same is None
    distorted = EpisodeBatches(3, 5, 4, 11, turns=False, distortion=ALWAYS).prepare(roster, 0)[200]
    assert torch.equal(distorted.positions, plan.positions)
    assert distorted.matrix.shape == (3, 5, 4, 2, 3)
    assert distorted.bend.shape == (3, 5, 4, 2, 5, 5)
    assert len(distorted.matrix.flatten(0, 2).unique(dim=0)) == 60


def test_each_alphabet_is_turned_as_a_whole(roster):
    stream = EpisodeBatches(3, 5, 2, 1).prepare(roster, 0)
    counts = Counter()
    for number in range(300):
        matrix = stream[number].matrix
        assert (matrix == matrix[:, :1, :1]).all()
        for a, b, x, c, d, y in matrix[:, 0, 0].flatten(1).tolist():
            assert (a, b, x, y) == (d, -c, 0, 0)
            counts[a, c] += 1
    assert set(counts) == {(1, 0), (0, 1), (-1, 0), (0, -1)}
    assert max(abs(count - 225) for count in counts.values()) < 70  # sd 13


def test_turns_and_distortion_together(roster):
    small = Distortion(rotation=1.0, shear=0.01, scale=(0.99, 1.01), shift=1.0, probability=1.0)
    turned = EpisodeBatches(4, 5, 2, 1, distortion=small).prepare(roster, 0)[0]
    upright = EpisodeBatches(4, 5, 2, 1, turns=False, distortion=small).prepare(roster, 0)[0]
    bare = EpisodeBatches(4, 5, 2, 1).prepare(roster, 0)[0].matrix[..., :2]
    assert torch.equal(turned.positions, upright.positions)
    away = (turned.matrix[..., :2] - bare).abs().flatten(1).amax(1)
    assert (away < 0.06).all()
    assert len(turned.matrix.flatten(0, 2).unique(dim=0)) == 40


def test_a_style_is_a_whole_alphabets(roster):
    styled = EpisodeBatches(3, 5, 2, 1, style=ALWAYS).prepare(roster, 0)
    plan, other = styled[0], styled[1]
    assert (plan.matrix == plan.matrix[:, :1, :1]).all()
    assert (plan.bend == plan.bend[:, :1, :1]).all()
    assert len(torch.cat([plan.matrix, other.matrix])[:, 0, 0].unique(dim=0)) == 6
    both = EpisodeBatches(3, 5, 2, 1, style=ALWAYS, distortion=ALWAYS).prepare(roster, 0)[0]
    assert len(both.matrix.flatten(0, 2).unique(dim=0)) == 30
    own = both.matrix[..., :2] @ plan.matrix[..., :2].inverse()  # what is the drawing's alone
    assert (own.det() > 0.3).all()
    assert torch.equal(both.positions, plan.positions)


def half(drawings, which):
    first = drawings.class_alphabets[drawings.classes] < 2
    return Roster(drawings, (first if which == 0 else ~first).nonzero().flatten())


@pytest.mark.parametrize(("generated", "counts"), [(0.0, {0}), (1.0, {1}), (1.25, {1, 2})])
def test_so_many_alphabets_are_generated_ones(drawings, generated, counts):
    stream = EpisodeBatches(2, 4, 2, 1, generated=generated)
    stream.prepare(half(drawings, 0), 0, half(drawings, 1) if generated else None)
    seen = Counter()
    for number in range(200):
        positions = stream[number].positions
        assert positions.shape == (2, 4, 2)
        made = drawings.alphabets[positions] >= 2
        assert (made == made[:, :1, :1]).all()
        seen[int(made[:, 0, 0].sum())] += 1
    assert set(seen) == counts
    assert seen[2] == pytest.approx(200 * (generated % 1), abs=25)  # sd 6


def test_generated_alphabets_that_are_not_enough(drawings):
    stream = EpisodeBatches(4, 4, 2, 1, generated=2.5)
    with pytest.raises(UserError, match="a batch of 3 alphabets"):
        stream.prepare(half(drawings, 0), 0, half(drawings, 1))
    for many in (2, 3):
        with pytest.raises(UserError, match=rf"batches\.generated={many}"):
            EpisodeBatches(2, 4, 2, 1, generated=many)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PairBatches(1, 5), "batches.size=1"),
        (lambda: PairBatches(8, 5, fixed=7), "batches.fixed=7"),
        (lambda: PairBatches(8, 5, copies=2, distortion=ALWAYS), "batches.copies"),
        (lambda: PairBatches(8, 5, fixed=9, copies=2), "batches.copies"),
        (lambda: EpisodeBatches(0, 2, 2, 5), "batches.alphabets=0"),
        (lambda: EpisodeBatches(1, 1, 2, 5), "batches.characters=1"),
        (lambda: EpisodeBatches(1, 2, 1, 5), "batches.drawers=1"),
        (
            lambda: EpisodeBatches(
                1, 2, 2, 5, distortion=ALWAYS, style=Distortion(elastic=1.0, grid=6)
            ),
            "batches.style.grid=6, but batches.distortion.grid=5",
        ),
    ],
)
def test_what_makes_no_batch_is_an_error(make, said):
    with pytest.raises(UserError, match=said):
        make()
