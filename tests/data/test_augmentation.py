"""Augmentation against SciPy, pixel by pixel, and by hand; composite characters."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from siamese_oneshot.data.augmentation import (
    Augmentation,
    Warp,
    affine_matrix,
    apply_warp,
    compose_images,
    sample_composite,
)
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.episodes import sample_alphabet_batch
from siamese_oneshot.data.samplers import EpisodeSampler, generator_for
from siamese_oneshot.utils.errors import ArgumentError

NO = torch.tensor(False)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def noise(n, side, seed=0):
    return torch.rand(n, 1, side, side, generator=seeded(seed))


def by_scipy(image, degrees, shear, scale, pixels):
    """Scale, shear, turn clockwise, shift right and down; lengths in pixels, about the center."""
    turn = math.radians(degrees)
    rotate = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    slant = np.array([[1, shear[0]], [shear[1], 1]])
    forward = rotate @ slant @ np.diag(scale)  # of (x, y)
    back = np.linalg.inv(forward)[::-1, ::-1]  # of (row, column), as SciPy counts
    center = (np.array(image.shape) - 1) / 2
    offset = center - back @ (center + np.array(pixels)[::-1])
    return ndimage.affine_transform(
        image, back, offset=offset, order=1, mode="grid-constant", cval=0.0
    )


def one(side, degrees=0.0, shear=(0.0, 0.0), scale=(1.0, 1.0), pixels=(0.0, 0.0)):
    """The warp of one image, shift in pixels of that image."""
    theta, shift = torch.tensor([math.radians(degrees)]), torch.tensor([pixels]) * 2 / side
    return Warp(affine_matrix(theta, torch.tensor([shear]), torch.tensor([scale]), shift))


@pytest.mark.parametrize("side", [9, 20, 35])
def test_against_scipy(side):
    images = noise(12, side)
    rng = np.random.default_rng(side)
    for image in images:
        settings = (
            rng.uniform(-40, 40),
            rng.uniform(-0.5, 0.5, 2).tolist(),
            rng.uniform(0.6, 1.6, 2).tolist(),
            rng.uniform(-4, 4, 2).tolist(),
        )
        ours = apply_warp(image[None], one(side, *settings))[0, 0].numpy()
        np.testing.assert_allclose(ours, by_scipy(image[0].numpy(), *settings), atol=2e-4)


@pytest.mark.parametrize(
    ("settings", "row", "column"),
    [
        ({"pixels": (1.0, 0.0)}, 1, 4),  # right
        ({"pixels": (0.0, 1.0)}, 2, 3),  # down
        ({"degrees": 90.0}, 3, 3),  # clockwise: (x, y) = (1, -1) → (1, 1)
        ({"degrees": -90.0}, 1, 1),
        ({"degrees": 180.0}, 3, 1),
        ({"shear": (1.0, 0.0)}, 1, 2),  # x moves by y = -1
        ({"shear": (0.0, 1.0)}, 2, 3),  # y moves by x = +1
        ({"scale": (2.0, 1.0)}, 1, 4),  # away from the center, along x alone
        ({"scale": (1.0, 2.0)}, 0, 3),
        # first scale, then shear, then turn, then shift:
        # (1, -1) → (2, -1) → (1, -1) → (1, 1) → (0, 1)
        ({"scale": (2.0, 1.0), "shear": (1.0, 0.0), "degrees": 90.0, "pixels": (-1.0, 0.0)}, 3, 2),
    ],
)
def test_where_one_pixel_goes(settings, row, column):
    dot = torch.zeros(1, 1, 5, 5)
    dot[0, 0, 1, 3] = 1.0
    result = apply_warp(dot, one(5, **settings))[0, 0]
    assert result[row, column] == pytest.approx(1.0, abs=1e-5)


def test_no_augmentation_changes_nothing_and_each_image_has_its_own():
    images = noise(3, 8)
    still = Warp(torch.eye(2, 3).repeat(3, 1, 1))
    assert len(still.matrix) == 3
    torch.testing.assert_close(apply_warp(images, still), images, atol=1e-5, rtol=0)
    still.matrix[1, 0, 2] = 2 * 2 / 8
    moved = apply_warp(images, still)
    torch.testing.assert_close(moved[[0, 2]], images[[0, 2]], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[1, :, :, 2:], images[1, :, :, :-2], atol=1e-5, rtol=0)


def test_what_comes_in_from_outside_is_paper():
    full = torch.ones(4, 1, 35, 35)
    warps = Augmentation(scale=(0.8, 0.8), shift=9.0, probability=1.0).draw(4, seeded(2))
    result = apply_warp(full, warps)
    assert (result[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).any(1).all()  # a corner of each
    torch.testing.assert_close(result[:, 0, 17, 17], torch.ones(4))
    right = apply_warp(full[:1], one(35, pixels=(3.0, 0.0)))[0, 0]
    assert right[:, :3].abs().max() < 1e-4
    torch.testing.assert_close(right[:, 3:], full[0, 0, :, 3:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("zoom", [0.8, 1.2])
def test_zoom_below_one_shrinks(zoom):
    square = torch.zeros(1, 1, 50, 50)
    square[..., 15:35, 10:40] = 1.0
    result = apply_warp(square, one(50, scale=(zoom, zoom)))[0, 0]
    assert float(result.sum()) == pytest.approx(600 * zoom**2, rel=0.02)
    rows, columns = (result > 0.5).any(1).sum(), (result > 0.5).any(0).sum()
    assert (int(rows), int(columns)) == (round(20 * zoom), round(30 * zoom))


ONLY = {"rotation": 0.0, "shear": 0.0, "scale": (1.0, 1.0), "shift": 0.0}


def components(name, probability):
    """20,000 values of each of the components that ``name`` sets, and their value when unused."""
    setting = {"rotation": 10.0, "shear": 0.3, "scale": (0.8, 1.2), "shift": 2.0}[name]
    augmentation = Augmentation(**{**ONLY, name: setting}, probability=probability)
    m = augmentation.draw(20_000, seeded(3)).matrix
    if name == "rotation":
        torch.testing.assert_close(m[:, 0, 0], m[:, 1, 1])
        return torch.rad2deg(torch.atan2(m[:, 1, :1], m[:, 0, :1])), 0.0
    if name == "shear":
        return torch.stack([m[:, 0, 1], m[:, 1, 0]], 1), 0.0
    if name == "scale":
        return torch.stack([m[:, 0, 0], m[:, 1, 1]], 1), 1.0
    return m[:, :, 2] * 105 / 2, 0.0  # in pixels of 105


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("rotation", -10, 10), ("shear", -0.3, 0.3), ("scale", 0.8, 1.2), ("shift", -2, 2)],
)
def test_each_component_is_uniform_and_used_half_the_time(name, low, high):
    for probability in (0.5, 1.0, 0.0):
        values, unused = components(name, probability)
        used = (values - unused).abs() > 1e-6
        assert (used.float().mean(0) - probability).abs().max() < 0.02  # sd 0.0035
        if probability == 0.5:  # the whole range, not one half of it
            assert abs((values[used] > (low + high) / 2).float().mean() - 0.5) < 0.03
        if used.shape[1] == 2 and probability == 0.5:  # x and y each on their own
            assert abs(used.all(1).float().mean() - 0.25) < 0.02
    values = components(name, 1.0)[0]
    width = high - low
    for column in values.unbind(1):
        quarters = ((column - low) / width * 4).floor().long().clamp(0, 3).bincount()
        assert (quarters / 20_000 - 0.25).abs().max() < 0.02
        assert low - 1e-4 < column.min() < low + 0.01 * width
        assert high - 0.01 * width < column.max() < high + 1e-4
    if values.shape[1] == 2:
        assert torch.corrcoef(values.T)[0, 1].abs() < 0.05


def test_components_are_used_independently_of_one_another():
    matrix = Augmentation(rotation=0.0, shear=0.0, probability=0.5).draw(20_000, seeded(4)).matrix
    zoomed, shifted = matrix[:, 0, 0] != 1, matrix[:, 0, 2] != 0
    assert abs((zoomed & shifted).float().mean() - 0.25) < 0.02
    assert abs(torch.corrcoef(torch.stack([matrix[:, 0, 0], matrix[:, 0, 2]]))[0, 1]) < 0.05


def test_elastic_displacements_by_hand():
    """A grid as fine as the image needs no interpolation: ask SciPy for each pixel."""
    side = 12
    warp = Augmentation(elastic=3.0, grid=side, probability=1.0).draw(5, seeded(5))
    images = noise(5, side)
    ours = apply_warp(images, warp)[:, 0].numpy()
    rows, columns = np.mgrid[:side, :side]
    for k in range(5):
        matrix, bend = warp.matrix[k].double().numpy(), warp.displacement[k].double().numpy()
        x, y = (2 * columns + 1) / side - 1, (2 * rows + 1) / side - 1
        back = np.linalg.inv(matrix[:, :2])
        from_x, from_y = np.einsum("ij,jrc->irc", back, np.stack([x, y]) - matrix[:, 2, None, None])
        at = [((v + 1) * side - 1) / 2 for v in (from_y + bend[1], from_x + bend[0])]
        theirs = ndimage.map_coordinates(images[k, 0].numpy(), at, order=1, mode="grid-constant")
        np.testing.assert_allclose(ours[k], theirs, atol=2e-4)


def test_elastic_field_is_smooth_and_as_strong_as_asked():
    assert Augmentation().draw(2, seeded(0)).displacement is None
    warp = Augmentation(**ONLY, elastic=2.0, grid=6).draw(2000, seeded(6))
    assert warp.displacement.shape == (2000, 2, 6, 6)
    pixels = warp.displacement * 105 / 2
    assert abs(pixels.std() - 2.0) < 0.05
    assert abs(pixels.mean()) < 0.05
    assert abs(torch.corrcoef(pixels[:, :, 2, 3].T)[0, 1]) < 0.15
    ramp = torch.linspace(0, 1, 105).repeat(1, 1, 105, 1)  # says where a pixel comes from
    came = apply_warp(ramp, Warp(warp.matrix[:1], warp.displacement[:1]))[0, 0, 10:95, 10:95] * 104
    step = came.diff(dim=1)
    assert step.std() > 0.02
    assert (step.diff(dim=1).abs() < 0.25).all()  # no kinks


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_rot90_is_torch_rot90(quarters):
    images = noise(2, 9)
    still = Warp(torch.eye(2, 3).repeat(2, 1, 1))
    turned = apply_warp(images, still.after_symmetry(torch.tensor([quarters, 0]), NO))
    expected = torch.rot90(images[:1], -quarters, (2, 3))  # clockwise
    torch.testing.assert_close(turned[:1], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(turned[1:], images[1:], atol=1e-4, rtol=0)


def test_flip_then_rotation_then_the_rest():
    images = noise(6, 15)
    warp = Augmentation(probability=1.0).draw(6, seeded(7))
    which = torch.tensor([True, False, True, False, True, False])
    quarters = torch.tensor([0, 1, 2, 3, 1, 3])
    once = apply_warp(images, warp.after_symmetry(quarters, which))
    shown = torch.where(which[:, None, None, None], images.flip(-1), images)
    turns = zip(shown, quarters.tolist(), strict=True)
    turned = torch.stack([torch.rot90(image, -quarter, (1, 2)) for image, quarter in turns])
    torch.testing.assert_close(once, apply_warp(turned, warp), atol=1e-3, rtol=0)


def test_one_augmentation_after_another():
    # Smooth, for two looks blur more than one; in the middle, for what is pushed out is lost.
    images = F.avg_pool2d(F.pad(noise(5, 13), [14] * 4), 9, 1, 4)
    first = Augmentation(rotation=20, shear=0.2, probability=1.0).draw(5, seeded(9))
    then = Augmentation(rotation=20, shear=0.2, probability=1.0, shift=6.0).draw(5, seeded(10))
    once, twice = apply_warp(images, then.after(first)), apply_warp(apply_warp(images, first), then)
    torch.testing.assert_close(once, twice, atol=0.03, rtol=0)
    assert float((once - apply_warp(images, first.after(then))).abs().max()) > 0.06
    assert then.after(first).displacement is None


def test_bends_add_up():
    still = Warp(torch.eye(2, 3).repeat(3, 1, 1))
    one, other = (Augmentation(**ONLY, elastic=2.0).draw(3, seeded(s)) for s in (11, 12))
    torch.testing.assert_close(one.after(other).displacement, one.displacement + other.displacement)
    assert torch.equal(one.after(still).displacement, one.displacement)
    assert torch.equal(still.after(one).displacement, one.displacement)


def test_the_seed_decides():
    augmentation = Augmentation(elastic=1.0)
    one_draw, again, other = (augmentation.draw(50, seeded(s)) for s in (8, 8, 9))
    assert torch.equal(one_draw.matrix, again.matrix)
    assert torch.equal(one_draw.displacement, again.displacement)
    assert not torch.equal(one_draw.matrix, other.matrix)
    assert len(one_draw.matrix.unique(dim=0)) > 45


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"scale": (1.2, 0.8)}, "scale"),
        ({"probability": 1.5}, "probability"),
        ({"probability": -0.1}, "probability"),
        ({"shear": 1.0}, "shear"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(setting, said):
    with pytest.raises(ArgumentError, match=rf"^{said}="):
        Augmentation(**setting)


BATCH = torch.arange(5 * 16 * 3).view(5, 16, 3)  # position 48 a + 3 c + d


@pytest.mark.parametrize("characters", [4, 5, 16])
def test_new_characters_are_pairs_of_old_ones_and_all_drawers_agree(characters):
    batch = BATCH[:, :characters]
    for seed in range(20):
        first, joined = sample_composite(batch, 3, torch.Generator().manual_seed(seed))
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
    normals = torch.cat([sample_composite(BATCH, 5, generator)[1].normal for _ in range(80)])
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


def test_without_composites_nothing_is_joined_and_nothing_drawn_for_it(dataset):
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))
    stream = EpisodeSampler(3, 4, 2, 1, n_composite=0.0).prepare(class_index, 0)
    for number in range(20):
        spec, rng = stream[number], generator_for(0, 2, number)
        indices = sample_alphabet_batch(class_index, 3, 4, 2, rng)
        turned = Warp.identity(3).after_symmetry(torch.randint(4, (3,), generator=rng), NO).matrix
        assert spec.composite is None
        assert torch.equal(spec.indices, indices)
        assert torch.equal(spec.warp.matrix, turned[:, None, None].expand_as(spec.warp.matrix))


@pytest.mark.parametrize(("count", "seen"), [(1.0, {1}), (0.25, {0, 1}), (3, {3})])
def test_so_many_alphabets_of_a_batch_are_composites(dataset, count, seen):
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))
    stream = EpisodeSampler(3, 4, 2, 1, n_composite=count).prepare(class_index, 0)
    found = Counter()
    for number in range(200 if count == 0.25 else 20):
        spec = stream[number]
        joined = (spec.composite.other != spec.indices).flatten(1).all(1)
        assert torch.equal(joined, (spec.composite.other != spec.indices).flatten(1).any(1))
        found[int(joined.sum())] += 1
    assert set(found) == seen
    if count == 0.25:
        assert found[1] == pytest.approx(50, abs=25)  # sd 6


def test_shares_keep_what_is_joined(dataset):
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))
    whole = EpisodeSampler(4, 4, 2, 3, n_composite=2).prepare(class_index, 0)
    for rank in range(2):
        part = whole[1].shard(rank, 2).composite
        assert torch.equal(part.other, whole[1].composite.other[rank::2])
        assert torch.equal(part.normal, whole[1].composite.normal[rank::2])


def test_too_few_characters_and_too_many_alphabets_are_refused():
    with pytest.raises(ArgumentError, match=r"n_way=3: n_composite needs at least 4"):
        EpisodeSampler(2, 3, 2, 1, n_composite=0.5)
    with pytest.raises(ArgumentError, match=r"n_composite=3"):
        EpisodeSampler(2, 4, 2, 1, n_composite=3)
