"""The in-memory type: what it refuses, what it finds, what its digest notices."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from siamese_oneshot.data.dataset import CharacterDataset, fingerprint


def test_what_does_not_belong_together_is_refused(dataset):
    with pytest.raises(ValueError, match="uint8"):
        replace(dataset, pixels=dataset.pixels.float())
    with pytest.raises(ValueError, match="uint8"):
        replace(dataset, pixels=dataset.pixels[:, None])
    with pytest.raises(ValueError, match="155 classes"):
        replace(dataset, classes=dataset.classes[:-1])
    with pytest.raises(ValueError, match="155 drawers"):
        replace(dataset, drawers=dataset.drawers[:-1])
    with pytest.raises(ValueError, match="25 class names"):
        replace(dataset, class_names=dataset.class_names[:-1])


@pytest.mark.parametrize(("side", "size"), [(105, 52), (105, 35), (105, 104), (105, 28), (9, 1)])
def test_smaller_images_are_means_of_areas(side: int, size: int) -> None:
    """Windows that are alike, as those of 105 and 52, are averaged in integers: not one differs."""
    noise = torch.randint(0, 256, (70, side, side), generator=torch.Generator().manual_seed(0))
    noise[0], noise[1] = 255, 0
    dataset = CharacterDataset.from_arrays(noise.byte(), range(70))
    means = F.adaptive_avg_pool2d(noise[:, None].float(), size)[:, 0].round().byte()
    assert torch.equal(dataset.resized(size).pixels, means)


def test_alphabets_of_images(dataset):
    names = [dataset.alphabet_names[a] for a in dataset.alphabets.tolist()]
    owners = [dataset.class_names[c].split("/")[0] for c in dataset.classes.tolist()]
    assert len(dataset) == 156
    assert names == owners


@pytest.mark.parametrize(
    ("alphabets", "drawers"),
    [
        (None, None),
        (["AlphabetB"], None),
        (["AlphabetD", "AlphabetA"], [5]),
        (None, [0, 3]),
        (["AlphabetC"], range(2, 4)),
        ([], None),
    ],
)
def test_indices_against_a_loop(dataset, alphabets, drawers):
    expected = []
    for index in range(len(dataset)):
        alphabet = dataset.class_names[dataset.classes[index]].split("/")[0]
        fits = alphabets is None or alphabet in alphabets
        if fits and (drawers is None or int(dataset.drawers[index]) in list(drawers)):
            expected.append(index)
    found = dataset.indices(alphabets, drawers)
    assert found.dtype == torch.int64
    assert found.tolist() == expected


def test_unknown_alphabet_is_named_with_those_there_are(dataset):
    with pytest.raises(ValueError, match=r"no alphabet named Klingon; there are AlphabetA, .*D$"):
        dataset.indices(["AlphabetA", "Klingon"])


def test_distinct_drops_the_repeat_of_a_class_and_nothing_else(dataset):
    pixels = dataset.pixels.clone()
    pixels[4] = pixels[1]  # a repeat within class 0
    pixels[5] = pixels[1].flip(0)  # equal ink, other image
    pixels[40] = pixels[1]  # the same image, but of another character
    changed = replace(dataset, pixels=pixels)
    everything = torch.arange(len(dataset))
    assert changed.distinct(everything).tolist() == [k for k in range(len(dataset)) if k != 4]
    assert changed.distinct(torch.tensor([4, 7, 40])).tolist() == [4, 7, 40]
    assert changed.distinct(torch.tensor([], dtype=torch.int64)).tolist() == []
    assert dataset.distinct(everything).tolist() == everything.tolist()


def test_pixel_sums_and_resizing_by_hand(dataset):
    pixels = torch.zeros(len(dataset), 4, 4, dtype=torch.uint8)
    pixels[0, :2, :2] = torch.tensor([[255, 0], [255, 255]])
    pixels[0, 2, 3] = 100
    pixels[1] = 255
    small = replace(dataset, pixels=pixels)
    assert small.pixel_sums[:3].tolist() == [865, 4080, 0]
    half = small.resized(2)
    assert half.pixels[:3].tolist() == [[[191, 0], [0, 25]], [[255, 255]] * 2, [[0, 0]] * 2]
    assert half.pixel_sums[:3].tolist() == [216, 1020, 0]  # not the ink of the large image
    assert half.class_names == small.class_names
    assert small.resized(4) is small
    assert torch.equal(dataset.resized(8, batch_size=7).pixels, dataset.resized(8).pixels)


def test_digest_notices_every_field(dataset):
    changed = {name: getattr(dataset, name).clone() for name in ("pixels", "classes", "drawers")}
    changed["pixels"][17, 3, 3] = 255 - dataset.pixels[17, 3, 3]
    changed["classes"][[0, 6]] = dataset.classes[[6, 0]]
    changed["drawers"][[0, 1]] = dataset.drawers[[1, 0]]
    others = [replace(dataset, **{name: value}).digest for name, value in changed.items()]
    digests = [dataset.digest, *others]
    assert len(set(digests)) == 4
    assert replace(dataset, pixels=dataset.pixels.clone()).digest == dataset.digest


def test_fingerprint_depends_on_numbers_shape_and_order_alone():
    a, b = torch.arange(6), torch.arange(6).flip(0)
    lists = ((a, b), (b, a), (a,), (a.view(2, 3),), (a.view(3, 2),))
    assert len({fingerprint(*tensors) for tensors in lists}) == 5
    assert fingerprint(a) == fingerprint(a.int()) == fingerprint(a.float())
    assert fingerprint(a.repeat_interleave(2)[::2]) == fingerprint(a)
    # over "(3,)" and three little-endian int64, by hashlib alone
    assert fingerprint(torch.tensor([1, 2, 3])) == "6992517b5759a758"


def test_joined_alphabets_keep_their_own(dataset):
    others = replace(
        dataset,
        alphabet_names=tuple(f"New_{name}" for name in dataset.alphabet_names),
        class_names=tuple(f"New_{name}" for name in dataset.class_names),
        pixels=255 - dataset.pixels,
        source="synthetic",
    )
    both, n = dataset.joined(others), len(dataset)
    assert len(both) == 2 * n
    assert both.source == dataset.source
    for k in (0, 3, n - 1):
        for place, of in ((k, dataset), (n + k, others)):
            assert torch.equal(both.pixels[place], of.pixels[k])
            assert both.class_names[both.classes[place]] == of.class_names[of.classes[k]]
            assert both.alphabet_names[both.alphabets[place]] == of.alphabet_names[of.alphabets[k]]
            assert both.drawers[place] == of.drawers[k]
    with pytest.raises(ValueError, match=f"both datasets have {dataset.alphabet_names[0]}"):
        dataset.joined(dataset)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        dataset.joined(others.resized(8))


def test_rotated_copies_are_classes_of_their_own(dataset):
    twice = replace(dataset, duplicate_classes=(dataset.class_names[1:3],))
    chosen = dataset.indices(["AlphabetB", "AlphabetC"], [0, 2])
    images = twice.with_rotations(chosen)
    n, k = len(dataset), len(chosen)
    assert len(images) == n + 3 * k
    assert torch.equal(images.pixels[:n], dataset.pixels)
    assert torch.equal(images.classes[:n], dataset.classes)
    for turn, angle in enumerate((90, 180, 270)):
        for position, index in enumerate(chosen.tolist()):
            copy = n + turn * k + position
            upright = images.pixels[copy].tolist()
            for _ in range(turn + 1):  # clockwise, against the rotation
                upright = [list(row) for row in zip(*upright[::-1], strict=True)]
            assert upright == dataset.pixels[index].tolist()
            alphabet, character = dataset.class_names[dataset.classes[index]].split("/")
            name = f"{alphabet}_rotated_{angle}"
            assert images.class_names[images.classes[copy]] == f"{name}/{character}"
            assert images.alphabet_names[images.alphabets[copy]] == name
            assert images.drawers[copy] == dataset.drawers[index]
    assert len(images.duplicate_classes) == 4
    assert set(images.duplicate_classes[3]) < set(images.class_names)
