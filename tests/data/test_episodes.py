"""One-shot trials and whole-alphabet batches, checked trial by trial in plain loops."""

import pytest
import torch
from blobs import make_drawings

from siamese_oneshot.data import episodes
from siamese_oneshot.data.drawings import fingerprint
from siamese_oneshot.data.episodes import Trials, alphabet_batch, episode_trials, run_trials
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.errors import UserError


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def whole(drawings):
    return Roster(drawings, torch.arange(len(drawings)))


def ragged(drawings):
    """About four fifths of the drawings, at least three of each class."""
    keep = torch.rand(len(drawings), generator=seeded(1)) < 0.8
    return Roster(drawings, (keep | (drawings.drawers < 3)).nonzero().flatten())


def check_trials(drawings, roster, trials, within):
    """What every list of trials promises, one trial after another."""
    allowed = set(roster.positions.tolist())
    for query, support, answer in zip(
        trials.queries.tolist(), trials.supports.tolist(), trials.answers.tolist(), strict=True
    ):
        classes = []
        for shots in support:
            assert len(set(shots)) == len(shots)
            of = {int(drawings.classes[position]) for position in shots}
            assert len(of) == 1
            classes += of
        assert len(set(classes)) == len(classes)
        assert classes[answer] == int(drawings.classes[query])
        seen = [position for shots in support for position in shots]
        assert {query, *seen} <= allowed
        assert int(drawings.drawers[query]) not in {int(drawings.drawers[p]) for p in seen}
        if within:
            assert len({int(drawings.alphabets[position]) for position in [query, *seen]}) == 1


def spread(answers, way, tolerance):
    share = answers.bincount(minlength=way) / len(answers)
    return len(share) == way and float((share - 1 / way).abs().max()) < tolerance


@pytest.mark.parametrize("part", [whole, ragged])
def test_runs_have_the_papers_structure(drawings, part):
    roster, way = part(drawings), 5
    trials = run_trials(roster, 40, seeded(2), way)
    assert (len(trials), trials.way, trials.shot) == (200, 5, 1)
    check_trials(drawings, roster, trials, within=True)
    alphabets = []
    for start in range(0, 200, way):
        queries = trials.queries[start : start + way]
        supports = trials.supports[start : start + way, :, 0]
        # every character of the run is asked once, and all are asked of the same pictures
        assert len(set(queries.tolist())) == way
        assert (supports == supports[0]).all()
        asked = sorted(drawings.classes[queries].tolist())
        assert asked == sorted(drawings.classes[supports[0]].tolist())
        # one drawer asks, one other answers
        assert len(set(drawings.drawers[queries].tolist())) == 1
        assert len(set(drawings.drawers[supports[0]].tolist())) == 1
        alphabets.append(int(drawings.alphabets[queries[0]]))
    for start in range(0, 40, 4):
        assert sorted(alphabets[start : start + 4]) == [0, 1, 2, 3]


def test_runs_leave_out_small_alphabets_and_no_other(drawings):
    roster = whole(drawings)  # 6, 5, 8 and 7 characters
    trials = run_trials(roster, 9, seeded(3), way=7)
    counts = drawings.alphabets[trials.queries].bincount(minlength=4)
    assert counts.tolist() in ([0, 0, 28, 35], [0, 0, 35, 28])
    assert trials.supports.shape == (63, 7, 1)
    assert set(drawings.alphabets[run_trials(roster, 3, seeded(3), 8).queries].tolist()) == {2}
    with pytest.raises(UserError, match=r"no alphabet has 9 characters.*AlphabetC, has 8"):
        run_trials(roster, 1, seeded(3), way=9)


def test_runs_choose_every_character_and_two_drawers_alike(drawings):
    roster = Roster(drawings, drawings.positions(["AlphabetC"]))
    trials = run_trials(roster, 1200, seeded(4), way=4)
    characters = drawings.classes[trials.queries].bincount()[11:19] / 4800
    assert (characters - 1 / 8).abs().max() < 0.02
    queries, supports = (
        drawings.drawers[trials.queries[::4]],
        drawings.drawers[trials.supports[::4, 0, 0]],
    )
    twos = (queries * 6 + supports).bincount(minlength=36).view(6, 6)
    assert twos.diagonal().sum() == 0
    assert (twos[~torch.eye(6, dtype=torch.bool)] - 40).abs().max() < 32  # sd 6


def test_answers_of_runs_are_everywhere_alike(drawings):
    trials = run_trials(whole(drawings), 1000, seeded(5), way=5)
    assert spread(trials.answers, 5, 1e-6)  # each position once a run
    for place in range(5):  # nor does the place in the run, or the character, tell the answer
        assert spread(trials.answers[place::5], 5, 0.07)
    of_one = drawings.classes[trials.queries] == 13
    assert spread(trials.answers[of_one], 5, 0.12)
    # one answer of a run does not tell the next
    steps = trials.answers.view(-1, 5).diff(dim=1) % 5
    assert (steps.flatten().bincount(minlength=5)[1:] / 4000 - 0.25).abs().max() < 0.05
    # the order of the supports does not tell one class from another
    order = drawings.classes[trials.supports[::5, :, 0]].argsort(1)[:, 0]
    assert spread(order, 5, 0.07)


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize(("way", "shot"), [(5, 1), (2, 3), (1, 1), (8, 2)])
@pytest.mark.parametrize("part", [whole, ragged])
def test_independent_trials(drawings, part, way, shot, within):
    roster = part(drawings)
    shot = min(shot, int(roster.counts.min()) - 1)
    trials = episode_trials(roster, 150, seeded(6), way, shot, within)
    assert trials.supports.shape == (150, way, shot)
    check_trials(drawings, roster, trials, within)


def test_memory_is_bounded_and_trials_are_the_same_where_all_fit(drawings, monkeypatch):
    roster, sizes = whole(drawings), []
    trials = episode_trials(roster, 100, seeded(6), 5)
    draw = torch.rand

    def watched(*size, **options):
        found = draw(*size, **options)
        sizes.append(found.numel())
        return found

    monkeypatch.setattr(torch, "rand", watched)
    for most, same in ((100 * 5 * 6, True), (7 * 5 * 6, False), (1, False)):
        monkeypatch.setattr(episodes, "_KEYS", most)
        sizes.clear()
        found = episode_trials(roster, 100, seeded(6), 5)
        assert max(sizes) <= max(most, 5 * 6)
        assert (found.digest == trials.digest) is same
        check_trials(drawings, roster, found, within=False)
        assert len(found) == 100


@pytest.mark.parametrize("within", [False, True])
def test_answers_of_independent_trials_are_everywhere_alike(drawings, within):
    trials = episode_trials(whole(drawings), 3000, seeded(7), 5, within_alphabet=within)
    assert len(trials) == 3000
    assert spread(trials.answers, 5, 0.04)
    asked = drawings.classes[trials.queries].bincount(minlength=26) / 3000
    classes = torch.tensor([6, 5, 8, 7]).repeat_interleave(torch.tensor([6, 5, 8, 7]))
    # across: all 26 characters alike; within: all 4 alphabets alike
    expected = 1 / (4 * classes) if within else torch.full((26,), 1 / 26)
    assert (asked - expected).abs().max() < 0.03
    drawers = drawings.drawers[trials.queries].bincount(minlength=6) / 3000
    assert (drawers - 1 / 6).abs().max() < 0.04
    together = drawings.alphabets[trials.supports[..., 0]]
    assert bool((together == together[:, :1]).all()) == within


def test_within_alphabet_trials_take_turns_among_the_large_enough(drawings):
    roster = whole(drawings)
    trials = episode_trials(roster, 101, seeded(8), 7, within_alphabet=True)
    counts = drawings.alphabets[trials.queries].bincount(minlength=4).tolist()
    assert counts[:2] == [0, 0]
    assert sorted(counts[2:]) == [50, 51]
    with pytest.raises(UserError, match="no alphabet has 9 characters"):
        episode_trials(roster, 4, seeded(8), 9, within_alphabet=True)
    assert episode_trials(roster, 4, seeded(8), 26).way == 26
    with pytest.raises(UserError, match=r"27-way asked for.* 26 classes"):
        episode_trials(roster, 4, seeded(8), 27)


def test_too_few_drawers_are_an_error(drawings):
    roster = whole(drawings)
    assert episode_trials(roster, 4, seeded(0), 3, shot=5).shot == 5
    said = r"6-shot needs 7 pictures of each class, AlphabetA/.* has 6: .*fewer shots$"
    with pytest.raises(UserError, match=said):
        episode_trials(roster, 4, seeded(0), 3, shot=6)
    for way, shot, count in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(UserError, match="at least 1"):
            episode_trials(roster, count, seeded(0), way, shot)
    alone = Roster(drawings, (drawings.drawers == 2).nonzero().flatten())
    with pytest.raises(UserError, match="in no alphabet have 2 drawers 5 characters in common"):
        run_trials(alone, 1, seeded(0), 5)


@pytest.mark.parametrize("part", [whole, ragged])
def test_whole_alphabet_batches(drawings, part):
    roster = part(drawings)
    chosen = torch.zeros(4)
    for seed in range(60):
        batch = alphabet_batch(roster, 2, 4, 2, seeded(seed))
        assert batch.shape == (2, 4, 2)
        assert set(batch.flatten().tolist()) <= set(roster.positions.tolist())
        alphabets = drawings.alphabets[batch]
        assert (alphabets == alphabets[:, :1, :1]).all()
        assert alphabets[0, 0, 0] != alphabets[1, 0, 0]
        classes = drawings.classes[batch]
        assert (classes == classes[:, :, :1]).all()
        assert all(len(set(row)) == 4 for row in classes[:, :, 0].tolist())
        drawers = drawings.drawers[batch]
        assert (drawers == drawers[:, :1]).all()
        assert all(len(set(row)) == 2 for row in drawers[:, 0].tolist())
        chosen[alphabets[:, 0, 0]] += 1
    assert (chosen - 30).abs().max() < 16  # sd 4


def test_whole_alphabet_batches_that_cannot_be(drawings):
    roster = whole(drawings)
    assert alphabet_batch(roster, 2, 7, 6, seeded(0)).shape == (2, 7, 6)
    with pytest.raises(UserError, match=r"3 alphabets with 7 characters.* 2 have"):
        alphabet_batch(roster, 3, 7, 2, seeded(0))
    with pytest.raises(UserError, match=r"4 characters by 7 drawers.* 0 have.*batches\.drawers"):
        alphabet_batch(roster, 2, 4, 7, seeded(0))


def test_whole_alphabet_batches_by_drawers_whose_numbers_start_late(drawings):
    """Under koch drawers 8 … 19 train: three of them are as easy to find as among 0 … 11."""
    late = Roster(drawings, drawings.positions(drawers=[3, 4, 5]))
    for seed in range(60):
        assert alphabet_batch(late, 4, 5, 3, seeded(seed)).shape == (4, 5, 3)


def test_an_alphabet_by_few_drawers_beside_one_by_many(drawings):
    keep = (drawings.alphabets != 1) | (drawings.drawers < 3)
    roster = Roster(drawings, keep.nonzero().flatten())
    for seed in range(600):
        assert alphabet_batch(roster, 4, 5, 3, seeded(seed)).shape == (4, 5, 3)


def test_few_drawers_of_many_who_have_drawn_enough_are_found():
    """One class has pictures by 60, the others by the first 20, as a person's folders may."""
    drawings = make_drawings((5, 5), drawers=60)
    roster = Roster(
        drawings, ((drawings.classes % 5 == 0) | (drawings.drawers < 20)).nonzero().flatten()
    )
    for seed in range(60):
        batch = alphabet_batch(roster, 2, 4, 3, seeded(seed))
        assert batch.flatten().unique().numel() == 24
        run_trials(roster, 2, seeded(seed), 4)


def test_the_only_drawers_who_can_are_found():
    """Each of forty has five characters of their own; drawers 7 and 30 also share five."""
    drawings = make_drawings((205,), drawers=40)
    own = drawings.classes // 5 == drawings.drawers
    shared = (drawings.classes >= 200) & ((drawings.drawers == 7) | (drawings.drawers == 30))
    roster = Roster(drawings, (own | shared).nonzero().flatten())
    for seed in range(5):  # by chance 200 tries find the one of 780 pairs one time in four
        trials = run_trials(roster, 3, seeded(seed), 5)
        assert set(drawings.drawers[trials.queries].tolist()) <= {7, 30}
        check_trials(drawings, roster, trials, within=True)
    with pytest.raises(UserError, match="by 3 drawers asked for, but 0 have"):
        alphabet_batch(roster, 1, 5, 3, seeded(1))


def test_an_alphabet_that_no_drawers_share_is_left_out(drawings):
    """AlphabetB has five characters, each by another drawer and by drawer 5."""
    alone = (drawings.alphabets == 1) & (drawings.drawers != 5)
    keep = ~alone | (drawings.classes % 5 == drawings.drawers)
    roster = Roster(drawings, keep.nonzero().flatten())
    assert roster.left_out(3) == []
    assert roster.left_out(3, 2) == ["AlphabetB"]
    trials = run_trials(roster, 6, seeded(2), 3)
    assert set(drawings.alphabets[trials.queries].tolist()) == {0, 2, 3}
    for seed in range(40):
        assert 1 not in drawings.alphabets[alphabet_batch(roster, 3, 3, 2, seeded(seed))]


def test_no_runs_are_an_error(drawings):
    with pytest.raises(UserError, match="at least 1"):
        run_trials(whole(drawings), 0, seeded(0), 5)


def test_the_seed_decides_and_nothing_else(drawings):
    roster = whole(drawings)
    makers = (
        lambda chance: run_trials(roster, 12, chance, 5).digest,
        lambda chance: episode_trials(roster, 60, chance, 5).digest,
        lambda chance: episode_trials(roster, 60, chance, 5, 2, within_alphabet=True).digest,
        lambda chance: str(alphabet_batch(roster, 2, 4, 2, chance).tolist()),
    )
    for make in makers:
        torch.manual_seed(1)
        one = make(seeded(9))
        torch.manual_seed(2)
        before = torch.get_rng_state()
        assert make(seeded(9)) == one
        assert torch.equal(before, torch.get_rng_state())
        assert make(seeded(10)) != one


def test_a_digest_notices_each_part(drawings):
    trials = run_trials(whole(drawings), 2, seeded(9), 5)
    other = (trials.answers + 1) % 5
    changed = [
        Trials(trials.queries.flip(0), trials.supports, trials.answers),
        Trials(trials.queries, trials.supports.flip(1), trials.answers),
        Trials(trials.queries, trials.supports, other),
    ]
    assert len({trials.digest, *(each.digest for each in changed)}) == 4


def test_twenty_ways_and_one_shot_where_nothing_else_is_said():
    roster = whole(make_drawings((21,), drawers=3))
    assert run_trials(roster, 1, seeded(0)).supports.shape == (20, 20, 1)
    assert episode_trials(roster, 2, seeded(0)).supports.shape == (2, 20, 1)


def test_the_fewest_that_can_be_asked_for(drawings):
    roster = whole(drawings)
    assert run_trials(roster, 3, seeded(0), way=1).supports.shape == (3, 1, 1)
    assert episode_trials(roster, 1, seeded(0), way=1).supports.shape == (1, 1, 1)


def test_no_picture_is_forgotten(drawings):
    """The one at position 0 too, as query and as support."""
    trials = episode_trials(whole(drawings), 4000, seeded(0), 2)
    assert trials.queries.unique().tolist() == list(range(len(drawings)))
    assert trials.supports.unique().tolist() == list(range(len(drawings)))


def test_lists_stay_as_they_were(drawings):
    """A list that changes makes figures incomparable, however good the new one is."""
    roster = ragged(drawings)
    assert run_trials(roster, 9, seeded(0), 5).digest == "760be192ea6a738c"
    assert episode_trials(roster, 1100, seeded(0), 5).digest == "c3fe0be20f474c1d"
    assert episode_trials(roster, 1100, seeded(0), 5, 2, True).digest == "da66858603810b8c"
    assert fingerprint(alphabet_batch(roster, 2, 4, 2, seeded(0))) == "3a2cf06eb9767b63"
