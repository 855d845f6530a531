"""The tables of who drew what, against plain dictionaries."""

import pytest
import torch

from siamese_oneshot.data.roster import Roster, below
from siamese_oneshot.errors import UserError


def obvious(drawings, positions):
    """Alphabet name → class name → drawer → position, in the order of the drawings."""
    tree = {}
    for name in drawings.alphabet_names:
        for character in drawings.class_names:
            for position in positions.tolist():
                if (
                    drawings.class_names[drawings.classes[position]] == character
                    and character.split("/")[0] == name
                ):
                    drawer = int(drawings.drawers[position])
                    tree.setdefault(name, {}).setdefault(character, {})[drawer] = position
    return tree


def ragged(drawings):
    """Not everybody drew everything; a class and an alphabet are missing altogether."""
    chance = torch.Generator().manual_seed(1)
    keep = torch.rand(len(drawings), generator=chance) < 0.6
    keep &= (drawings.classes != 2) & (drawings.alphabets != 1)
    return keep.nonzero().flatten()


@pytest.mark.parametrize("part", ["all", "ragged", "shuffled"])
def test_tables_against_dictionaries(drawings, part):
    positions = torch.arange(len(drawings)) if part == "all" else ragged(drawings)
    if part == "shuffled":
        positions = positions.flip(0)
    roster, tree = Roster(drawings, positions), obvious(drawings, positions)
    assert roster.names == tuple(tree)
    assert roster.classes_in.tolist() == [len(classes) for classes in tree.values()]
    rows = [row for classes in tree.values() for row in classes.values()]
    assert len(roster) == len(rows)
    assert roster.drawers == 1 + max(max(row) for row in rows)
    assert roster.counts.tolist() == [len(row) for row in rows]
    starts = [sum(roster.classes_in.tolist()[:k]) for k in range(len(tree))]
    assert roster.first_class.tolist() == starts
    owners = [k for k, classes in enumerate(tree.values()) for _ in classes]
    assert roster.class_alphabet.tolist() == owners
    for number, row in enumerate(rows):
        expected = [row.get(drawer, -1) for drawer in range(roster.drawers)]
        assert roster.table[number].tolist() == expected
        count = int(roster.counts[number])
        assert sorted(roster.packed[number, :count].tolist()) == sorted(row.values())
        assert (roster.packed[number, count:] == -1).all()


def test_common_against_dictionaries(drawings):
    positions = ragged(drawings)
    roster, tree = Roster(drawings, positions), obvious(drawings, positions)
    start = 0
    for alphabet, classes in enumerate(tree.values()):
        for drawers in ([0], [1, 4], [5, 2, 3]):
            expected = [
                start + k
                for k, row in enumerate(classes.values())
                if all(drawer in row for drawer in drawers)
            ]
            assert roster.common(alphabet, torch.tensor(drawers)).tolist() == expected
        start += len(classes)


def test_classes_of_an_alphabet_stand_side_by_side_even_where_the_drawings_mix_them(drawings):
    from dataclasses import replace

    mixed = replace(drawings, class_alphabets=torch.arange(26) % 4)
    roster = Roster(mixed, torch.arange(len(mixed)))
    assert roster.class_alphabet.tolist() == [0] * 7 + [1] * 7 + [2] * 6 + [3] * 6
    for row, alphabet in zip(roster.table, roster.class_alphabet, strict=True):
        assert (mixed.alphabets[row] == alphabet).all()


def test_columns_reach_to_the_last_drawer_of_the_part(drawings):
    roster = Roster(drawings, drawings.positions(drawers=[1, 3]))
    assert roster.drawers == 4
    assert (roster.table >= 0).all(0).tolist() == [False, True, False, True]


def test_alphabets_large_enough_and_those_left_out_by_name(drawings):
    roster = Roster(drawings, torch.arange(len(drawings)))  # 6, 5, 8 and 7 characters
    assert roster.large_enough(5) == [0, 1, 2, 3]
    assert roster.left_out(5) == []
    assert roster.large_enough(7) == [2, 3]
    assert roster.left_out(7) == ["AlphabetA", "AlphabetB"]
    assert roster.large_enough(8) == [2]
    with pytest.raises(UserError, match=r"no alphabet has 9 characters.*AlphabetC, has 8"):
        roster.large_enough(9)


def test_an_empty_part_is_an_error(drawings):
    with pytest.raises(UserError, match="empty"):
        Roster(drawings, torch.tensor([], dtype=torch.int64))


def test_below_is_uniform_and_never_reaches_its_limit():
    limits = torch.tensor([1, 2, 5]).repeat(20_000, 1)
    drawn = below(limits, torch.Generator().manual_seed(3))
    assert drawn.dtype == torch.int64
    for column, limit in enumerate((1, 2, 5)):
        share = drawn[:, column].bincount(minlength=limit) / 20_000
        assert len(share) == limit
        assert (share - 1 / limit).abs().max() < 0.02
