"""New characters made of two: which, the same for every drawer, and joined pixel by pixel."""

from collections import Counter

import pytest
import torch

from siamese_oneshot.data.batches import EpisodeBatches, generator_for
from siamese_oneshot.data.episodes import alphabet_batch
from siamese_oneshot.data.plan import Shares, upright
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.data.splice import splice, spliced
from siamese_oneshot.errors import UserError

BATCH = torch.arange(5 * 16 * 3).view(5, 16, 3)  # position 48 a + 3 c + d


@pytest.mark.parametrize("characters", [4, 5, 16])
def test_new_characters_are_pairs_of_old_ones_and_all_drawers_agree(characters):
    batch = BATCH[:, :characters]
    for seed in range(20):
        first, joined = splice(batch, 3, torch.Generator().manual_seed(seed))
        assert torch.equal(first[3:], batch[3:])
        assert torch.equal(joined.other[3:], batch[3:])
        assert torch.equal(joined.normal[3:], torch.zeros(2, 2))
        for alphabet in range(3):
            parts = []
            for character in range(characters):
                pair = []
                for positions in (first, joined.other):
                    drawn = positions[alphabet, character]
                    assert torch.equal(drawn % 3, torch.arange(3))  # each drawer's own
                    assert (drawn // 48 == alphabet).all()
                    (one,) = set((drawn % 48 // 3).tolist())
                    pair.append(one)
                parts.append(tuple(pair))
            assert len(set(parts)) == characters
            heads, tails = {one for one, _ in parts}, {other for _, other in parts}
            assert not heads & tails  # so that none is a pair the other way round
            assert len(heads) <= characters // 2
            assert len(heads | tails) > characters // 2


def test_half_are_cut_in_every_direction_and_half_laid_over():
    generator = torch.Generator().manual_seed(0)
    normals = torch.cat([splice(BATCH, 5, generator)[1].normal for _ in range(80)])
    cut = normals[normals.norm(dim=1) > 0]
    assert len(cut) == pytest.approx(200, abs=40)  # sd 10
    assert torch.allclose(cut.norm(dim=1), torch.ones(len(cut)))
    quarters = Counter(map(tuple, (cut > 0).tolist()))
    assert len(quarters) == 4
    assert min(quarters.values()) > 25


@pytest.mark.parametrize("normal", [(0, 0), (1, 0), (0, -1), (0.59, 0.81), (-0.27, 0.96)])
def test_joined_pixel_by_pixel(normal):
    generator = torch.Generator().manual_seed(1)
    side = 9
    one, other = torch.rand(2, 1, 1, side, side, generator=generator)
    found = spliced(one, other, torch.tensor([normal], dtype=torch.float32))
    for row in range(side):
        for column in range(side):
            ahead = normal[0] * (column - side // 2) + normal[1] * (row - side // 2)
            a, b = one[0, 0, row, column], other[0, 0, row, column]
            expected = max(a, b) if abs(ahead) < 1e-6 else a if ahead > 0 else b
            assert found[0, 0, row, column] == expected


def test_nothing_joined_changes_nothing():
    one = torch.rand(3, 1, 8, 8)
    assert torch.equal(spliced(one, one, torch.zeros(3, 2)), one)


def test_without_splicing_nothing_is_joined_and_nothing_drawn_for_it(drawings):
    roster = Roster(drawings, torch.arange(len(drawings)))
    stream = EpisodeBatches(3, 4, 2, 1, spliced=0.0).prepare(roster, 0)
    for number in range(200):
        plan, chance = stream[number], generator_for(0, 2, number)
        positions = alphabet_batch(roster, 3, 4, 2, chance)
        turned = upright(3).turned(torch.randint(4, (3,), generator=chance)).matrix
        assert plan.splice is None
        assert torch.equal(plan.positions, positions)
        assert torch.equal(plan.matrix, turned[:, None, None].expand_as(plan.matrix))


@pytest.mark.parametrize(("count", "seen"), [(1.0, {1}), (0.25, {0, 1}), (3, {3})])
def test_so_many_alphabets_of_a_batch_are_spliced(drawings, count, seen):
    roster = Roster(drawings, torch.arange(len(drawings)))
    stream = EpisodeBatches(3, 4, 2, 1, spliced=count).prepare(roster, 0)
    again = EpisodeBatches(3, 4, 2, 1, spliced=count).prepare(roster, 0)
    found = Counter()
    for number in range(200):
        plan, other = stream[number], again[number]
        joined = (plan.splice.other != plan.positions).flatten(1).all(1)
        assert torch.equal(joined, (plan.splice.other != plan.positions).flatten(1).any(1))
        assert torch.equal(plan.positions, other.positions)
        assert torch.equal(plan.splice.other, other.splice.other)
        assert torch.equal(plan.splice.normal, other.splice.normal)
        found[int(joined.sum())] += 1
    assert set(found) == seen
    if count == 0.25:
        assert found[1] == pytest.approx(50, abs=25)  # sd 6


def test_shares_keep_what_is_joined(drawings):
    roster = Roster(drawings, torch.arange(len(drawings)))
    whole = EpisodeBatches(4, 4, 2, 3, spliced=2).prepare(roster, 0)
    for rank in range(2):
        part = Shares(whole, rank, 2)[1].splice
        assert torch.equal(part.other, whole[1].splice.other[rank::2])
        assert torch.equal(part.normal, whole[1].splice.normal[rank::2])


def test_too_few_characters_and_too_many_alphabets_are_refused():
    with pytest.raises(
        UserError, match=r"batches\.characters=3: batches\.spliced needs at least 4"
    ):
        EpisodeBatches(2, 3, 2, 1, spliced=0.5)
    with pytest.raises(UserError, match=r"batches\.spliced=3"):
        EpisodeBatches(2, 4, 2, 1, spliced=3)
