"""The tables of who drew what, against plain dictionaries."""

import itertools
from dataclasses import replace

import pytest
import torch

from siamese_oneshot.data.class_index import ClassIndex, random_below
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.utils.errors import UserError


def obvious(dataset, indices):
    """Alphabet name → class name → drawer → position, in the order of the images."""
    tree = {}
    for index in sorted(indices.tolist(), key=lambda index: dataset.classes[index]):
        name = dataset.class_names[dataset.classes[index]]
        classes = tree.setdefault(name.split("/")[0], {})
        classes.setdefault(name, {})[int(dataset.drawers[index])] = index
    return tree


def ragged(dataset):
    """Not everybody drew everything; a class and an alphabet are missing altogether."""
    rng = torch.Generator().manual_seed(1)
    keep = torch.rand(len(dataset), generator=rng) < 0.6
    keep &= (dataset.classes != 2) & (dataset.alphabets != 1)
    return keep.nonzero().flatten()


@pytest.mark.parametrize("part", ["all", "ragged", "shuffled"])
def test_tables_against_dictionaries(dataset, part):
    indices = torch.arange(len(dataset)) if part == "all" else ragged(dataset)
    if part == "shuffled":
        indices = indices.flip(0)
    class_index, tree = ClassIndex(dataset, indices), obvious(dataset, indices)
    assert class_index.alphabet_names == tuple(tree)
    assert class_index.alphabet_sizes.tolist() == [len(classes) for classes in tree.values()]
    rows = [row for classes in tree.values() for row in classes.values()]
    assert len(class_index) == len(rows)
    assert class_index.n_drawers == 1 + max(max(row) for row in rows)
    assert class_index.counts.tolist() == [len(row) for row in rows]
    starts = [sum(class_index.alphabet_sizes.tolist()[:k]) for k in range(len(tree))]
    assert class_index.first_class.tolist() == starts
    owners = [k for k, classes in enumerate(tree.values()) for _ in classes]
    assert class_index.class_alphabet.tolist() == owners
    for number, row in enumerate(rows):
        expected = [row.get(drawer, -1) for drawer in range(class_index.n_drawers)]
        assert class_index.table[number].tolist() == expected
        count = int(class_index.counts[number])
        assert sorted(class_index.packed[number, :count].tolist()) == sorted(row.values())
        assert (class_index.packed[number, count:] == -1).all()


def test_common_against_dictionaries(dataset):
    indices = ragged(dataset)
    class_index, tree = ClassIndex(dataset, indices), obvious(dataset, indices)
    start = 0
    for alphabet, classes in enumerate(tree.values()):
        for drawers in ([0], [1, 4], [5, 2, 3]):
            expected = [
                start + k
                for k, row in enumerate(classes.values())
                if all(drawer in row for drawer in drawers)
            ]
            assert class_index.common_classes(alphabet, torch.tensor(drawers)).tolist() == expected
        start += len(classes)


def drawn_by(table):
    """A dataset of one alphabet; ``table`` says which drawer (column) drew which class (row)."""
    classes, drawers = table.nonzero(as_tuple=True)
    images = torch.zeros(len(classes), 4, 4, dtype=torch.uint8)
    labels = [f"c{one}" for one in classes.tolist()]
    return CharacterDataset.from_arrays(images.numpy(), labels, None, drawers.numpy())


@pytest.mark.parametrize("seed", range(8))
def test_common_drawers_are_the_first_group_of_all(seed):
    table = torch.rand(8, 9, generator=torch.Generator().manual_seed(seed)) < 0.45
    table[:, 8] = True  # so that each class is there
    dataset = drawn_by(table)
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))
    for way, drawers in itertools.product((1, 2, 3, 5), (1, 2, 3, 4)):
        groups = itertools.combinations(range(9), drawers)
        enough = (group for group in groups if table[:, group].all(1).sum() >= way)
        assert class_index.common_drawers(0, way, drawers) == next(enough, ())


def test_common_drawers_are_found_among_many_who_drew_other_classes():
    """All groups of four of these 200 are 65 million; the first ten thousand have none."""
    table = torch.arange(40)[:, None] // 10 == torch.arange(200) % 4
    dataset = drawn_by(table)
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))
    assert class_index.common_drawers(0, 8, 4) == (0, 4, 8, 12)


def test_classes_of_an_alphabet_stand_side_by_side_even_where_the_dataset_mix_them(dataset):
    mixed = replace(dataset, class_alphabets=torch.arange(26) % 4)
    class_index = ClassIndex(mixed, torch.arange(len(mixed)))
    assert class_index.class_alphabet.tolist() == [0] * 7 + [1] * 7 + [2] * 6 + [3] * 6
    for row, alphabet in zip(class_index.table, class_index.class_alphabet, strict=True):
        assert (mixed.alphabets[row] == alphabet).all()


def test_columns_reach_to_the_last_drawer_of_the_part(dataset):
    class_index = ClassIndex(dataset, dataset.indices(drawers=[1, 3]))
    assert class_index.n_drawers == 4
    assert (class_index.table >= 0).all(0).tolist() == [False, True, False, True]


def test_alphabets_large_enough_and_those_left_out_by_name(dataset):
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))  # 6, 5, 8 and 7 characters
    assert class_index.require_alphabets(5) == [0, 1, 2, 3]
    assert class_index.excluded_alphabets(5) == []
    assert class_index.require_alphabets(7) == [2, 3]
    assert class_index.excluded_alphabets(7) == ["AlphabetA", "AlphabetB"]
    assert class_index.require_alphabets(8) == [2]
    with pytest.raises(UserError, match=r"no alphabet has 9 characters.*AlphabetC, has 8"):
        class_index.require_alphabets(9)


def test_duplicate_classes_count_once(dataset):
    """Of AlphabetB's five classes, 6 … 10, three show one character."""
    alike = tuple(dataset.class_names[k] for k in (7, 8, 10))
    twice = replace(dataset, duplicate_classes=(alike, (dataset.class_names[0], "elsewhere")))
    class_index = ClassIndex(twice, torch.arange(len(dataset)))
    assert class_index.character.tolist() == [*range(8), 7, 9, 7, *range(11, 26)]
    assert class_index.alphabet_characters.tolist() == [6, 3, 8, 7]
    assert class_index.alphabet_sizes.tolist() == [6, 5, 8, 7]
    assert (len(class_index), class_index.n_characters) == (26, 24)
    assert class_index.distinct(torch.tensor([10, 3, 8, 9, 7])).tolist() == [10, 3, 9]
    assert (
        class_index.excluded_alphabets(4) == class_index.excluded_alphabets(4, 2) == ["AlphabetB"]
    )
    assert class_index.drawers_of(1, 4).tolist() == []
    assert class_index.common_classes(1, torch.tensor([0, 5])).tolist() == [6, 7, 8, 9, 10]
    few = ClassIndex(
        twice, torch.isin(dataset.classes, torch.tensor([6, 8, 9, 10])).nonzero()[:, 0]
    )
    assert few.character.tolist() == [0, 1, 2, 1]


def test_an_empty_part_is_an_error(dataset):
    with pytest.raises(UserError, match="no images"):
        ClassIndex(dataset, torch.tensor([], dtype=torch.int64))


def test_random_below_is_uniform_and_never_reaches_its_limit():
    limits = torch.tensor([1, 2, 5]).repeat(20_000, 1)
    drawn = random_below(limits, torch.Generator().manual_seed(3))
    assert drawn.dtype == torch.int64
    for column, limit in enumerate((1, 2, 5)):
        share = drawn[:, column].bincount(minlength=limit) / 20_000
        assert len(share) == limit
        assert (share - 1 / limit).abs().max() < 0.02
