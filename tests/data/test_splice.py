"""New characters made of two: which, the same for every drawer, and joined pixel by pixel."""

from collections import Counter

import pytest
import torch
from siamese_oneshot.data.batch_spec import RankShard, upright
from siamese_oneshot.data.composite import compose_images, composite

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.episodes import sample_alphabet_batch
from siamese_oneshot.data.samplers import EpisodeSampler, generator_for
from siamese_oneshot.utils.errors import UserError

BATCH = torch.arange(5 * 16 * 3).view(5, 16, 3)  # position 48 a + 3 c + d


@pytest.mark.parametrize("characters", [4, 5, 16])
def test_new_characters_are_pairs_of_old_ones_and_all_drawers_agree(characters):
    batch = BATCH[:, :characters]
    for seed in range(20):
        first, joined = composite(batch, 3, torch.Generator().manual_seed(seed))
        assert torch.equal(first[3:], batch[3:])
        assert torch.equal(joined.other[3:], batch[3:])
        assert torch.equal(joined.normal[3:], torch.zeros(2, 2))
        for alphabet in range(3):
            parts = []
            for character in range(characters):
                pair = []
                for indices in (first, joined.other):
                    drawn = indices[alphabet, character]
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
    normals = torch.cat([composite(BATCH, 5, generator)[1].normal for _ in range(80)])
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
    found = compose_images(one, other, torch.tensor([normal], dtype=torch.float32))
    for row in range(side):
        for column in range(side):
            ahead = normal[0] * (column - side // 2) + normal[1] * (row - side // 2)
            a, b = one[0, 0, row, column], other[0, 0, row, column]
            expected = max(a, b) if abs(ahead) < 1e-6 else a if ahead > 0 else b
            assert found[0, 0, row, column] == expected


def test_nothing_joined_changes_nothing():
    one = torch.rand(3, 1, 8, 8)
    assert torch.equal(compose_images(one, one, torch.zeros(3, 2)), one)


def test_without_splicing_nothing_is_joined_and_nothing_drawn_for_it(dataset):
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))
    stream = EpisodeSampler(3, 4, 2, 1, n_composite=0.0).prepare(class_index, 0)
    for number in range(200):
        spec, rng = stream[number], generator_for(0, 2, number)
        indices = sample_alphabet_batch(class_index, 3, 4, 2, rng)
        turned = upright(3).turned(torch.randint(4, (3,), generator=rng)).matrix
        assert spec.composite is None
        assert torch.equal(spec.indices, indices)
        assert torch.equal(spec.matrix, turned[:, None, None].expand_as(spec.matrix))


@pytest.mark.parametrize(("count", "seen"), [(1.0, {1}), (0.25, {0, 1}), (3, {3})])
def test_so_many_alphabets_of_a_batch_are_spliced(dataset, count, seen):
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))
    stream = EpisodeSampler(3, 4, 2, 1, n_composite=count).prepare(class_index, 0)
    again = EpisodeSampler(3, 4, 2, 1, n_composite=count).prepare(class_index, 0)
    found = Counter()
    for number in range(200):
        spec, other = stream[number], again[number]
        joined = (spec.composite.other != spec.indices).flatten(1).all(1)
        assert torch.equal(joined, (spec.composite.other != spec.indices).flatten(1).any(1))
        assert torch.equal(spec.indices, other.indices)
        assert torch.equal(spec.composite.other, other.composite.other)
        assert torch.equal(spec.composite.normal, other.composite.normal)
        found[int(joined.sum())] += 1
    assert set(found) == seen
    if count == 0.25:
        assert found[1] == pytest.approx(50, abs=25)  # sd 6


def test_shares_keep_what_is_joined(dataset):
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))
    whole = EpisodeSampler(4, 4, 2, 3, n_composite=2).prepare(class_index, 0)
    for rank in range(2):
        part = RankShard(whole, rank, 2)[1].composite
        assert torch.equal(part.other, whole[1].composite.other[rank::2])
        assert torch.equal(part.normal, whole[1].composite.normal[rank::2])


def test_too_few_characters_and_too_many_alphabets_are_refused():
    with pytest.raises(
        UserError, match=r"batches\.characters=3: batches\.spliced needs at least 4"
    ):
        EpisodeSampler(2, 3, 2, 1, n_composite=0.5)
    with pytest.raises(UserError, match=r"batches\.spliced=3"):
        EpisodeSampler(2, 4, 2, 1, n_composite=3)
