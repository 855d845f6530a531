"""Which lists a subject is asked, and that none is about what it has learned."""

from __future__ import annotations

import pytest
from comparing import MORE, SIZE, digits_like, network, pixels

from siamese_oneshot.comparison.desk import Desk
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.source import Loaded
from siamese_oneshot.errors import UserError


def test_subjects_that_know_their_split_keep_it(drawings: Drawings, desk: Desk) -> None:
    assert desk.sheet(network()).split.name == "shares"
    stranger = network(split="koch", data_source="omniglot")  # trained on other data
    assert desk.sheet(stranger).split.name == "shares"
    assert desk.sheet(network()).test is desk.sheet(pixels()).test  # drawn once


def test_a_split_is_not_rebuilt_on_other_drawings_of_the_kind(drawings: Drawings) -> None:
    desk = Desk(Loaded(drawings, None, (), "these"), None, "shares", None, SIZE, MORE)
    assert desk.sheet(network(data_digest="these")).split.name == "shares"
    assert desk.sheet(network()).split.name == "shares"  # of a network that does not know
    assert desk.sheet(network(data_digest="others", data_source="folder")).split.name == "shares"
    with pytest.raises(UserError, match="tiny was trained with data=glyphs, but with other draw"):
        desk.sheet(network(data_digest="others"))


def test_each_size_is_made_once(desk: Desk) -> None:
    assert desk.sheet(pixels()).drawings is desk.sheet(network()).drawings
    assert desk.sheet(pixels()).drawings.pixels.shape[-1] == 16


def test_digits_in_a_size(drawings: Drawings) -> None:
    desk = Desk(Loaded(drawings, None), digits_like(), "shares", None, SIZE, MORE)
    assert desk.digits_of(20).pixels.shape == (90, 20, 20)
    assert desk.digits_of(20) is desk.digits_of(20)
    assert desk.digits_question.trials.way == 10


@pytest.mark.omniglot
def test_real_a_forced_split_may_not_test_what_was_learned(omniglot) -> None:
    def desk(forced: str | None) -> Desk:
        return Desk(Loaded(omniglot.drawings, omniglot.runs), None, "lake", forced, SIZE, MORE)

    known = {"data_source": "omniglot"}
    assert desk(None).sheet(pixels()).split.name == "lake"
    assert desk(None).sheet(network(split="koch", **known)).split.name == "koch"
    assert desk("vinyals").sheet(network(split="lake", **known)).split.name == "vinyals"
    with pytest.raises(UserError, match="trained or chosen with split=koch40 on Angelic"):
        desk("lake").sheet(network(split="koch40", **known))
    with pytest.raises(UserError, match=r"split=koch on Angelic.*which split=lake tests"):
        desk("lake").sheet(network(split="koch", **known))
    chosen = network(split="lake", held_out=["Greek"], **known)
    validation = desk(None).sheet(chosen).split.validation
    names = omniglot.drawings.alphabets[validation].unique().tolist()
    assert [omniglot.drawings.alphabet_names[one] for one in names] == ["Greek"]
