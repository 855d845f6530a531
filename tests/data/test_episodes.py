"""One-shot episodes and whole-alphabet batches, checked episode by episode in plain loops."""

from dataclasses import replace

import pytest
import torch
from blobs import make_dataset

from siamese_oneshot.data import episodes as episodes_module
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import fingerprint
from siamese_oneshot.data.episodes import (
    Episodes,
    sample_alphabet_batch,
    sample_episodes,
    sample_runs,
)
from siamese_oneshot.utils.errors import UserError


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def whole(dataset):
    return ClassIndex(dataset, torch.arange(len(dataset)))


def ragged(dataset):
    """About four fifths of the images, at least three of each class."""
    keep = torch.rand(len(dataset), generator=seeded(1)) < 0.8
    return ClassIndex(dataset, (keep | (dataset.drawers < 3)).nonzero().flatten())


def check_episodes(dataset, class_index, episodes, within):
    """What every list of episodes promises, one episode after another."""
    allowed = set(class_index.indices.tolist())
    for query, support, answer in zip(
        episodes.queries.tolist(),
        episodes.supports.tolist(),
        episodes.answers.tolist(),
        strict=True,
    ):
        classes = []
        for shots in support:
            assert len(set(shots)) == len(shots)
            of = {int(dataset.classes[index]) for index in shots}
            assert len(of) == 1
            classes += of
        assert len(set(classes)) == len(classes)
        assert classes[answer] == int(dataset.classes[query])
        seen = [index for shots in support for index in shots]
        assert {query, *seen} <= allowed
        assert int(dataset.drawers[query]) not in {int(dataset.drawers[p]) for p in seen}
        if within:
            assert len({int(dataset.alphabets[index]) for index in [query, *seen]}) == 1


def spread(answers, way, tolerance):
    share = answers.bincount(minlength=way) / len(answers)
    return len(share) == way and float((share - 1 / way).abs().max()) < tolerance


@pytest.mark.parametrize("part", [whole, ragged])
def test_runs_have_the_papers_structure(dataset, part):
    class_index, way = part(dataset), 5
    episodes = sample_runs(class_index, 40, seeded(2), way)
    assert (len(episodes), episodes.way, episodes.shot) == (200, 5, 1)
    check_episodes(dataset, class_index, episodes, within=True)
    alphabets = []
    for start in range(0, 200, way):
        queries = episodes.queries[start : start + way]
        supports = episodes.supports[start : start + way, :, 0]
        # every character of the run is asked once, and all are asked of the same images
        assert len(set(queries.tolist())) == way
        assert (supports == supports[0]).all()
        asked = sorted(dataset.classes[queries].tolist())
        assert asked == sorted(dataset.classes[supports[0]].tolist())
        # one drawer asks, one other answers
        assert len(set(dataset.drawers[queries].tolist())) == 1
        assert len(set(dataset.drawers[supports[0]].tolist())) == 1
        alphabets.append(int(dataset.alphabets[queries[0]]))
    for start in range(0, 40, 4):
        assert sorted(alphabets[start : start + 4]) == [0, 1, 2, 3]


def test_runs_leave_out_small_alphabets_and_no_other(dataset):
    class_index = whole(dataset)  # 6, 5, 8 and 7 characters
    episodes = sample_runs(class_index, 9, seeded(3), way=7)
    counts = dataset.alphabets[episodes.queries].bincount(minlength=4)
    assert counts.tolist() in ([0, 0, 28, 35], [0, 0, 35, 28])
    assert episodes.supports.shape == (63, 7, 1)
    assert set(dataset.alphabets[sample_runs(class_index, 3, seeded(3), 8).queries].tolist()) == {2}
    with pytest.raises(UserError, match=r"no alphabet has 9 characters.*AlphabetC, has 8"):
        sample_runs(class_index, 1, seeded(3), way=9)


def test_runs_choose_every_character_and_two_drawers_alike(dataset):
    class_index = ClassIndex(dataset, dataset.indices(["AlphabetC"]))
    episodes = sample_runs(class_index, 1200, seeded(4), way=4)
    characters = dataset.classes[episodes.queries].bincount()[11:19] / 4800
    assert (characters - 1 / 8).abs().max() < 0.02
    queries, supports = (
        dataset.drawers[episodes.queries[::4]],
        dataset.drawers[episodes.supports[::4, 0, 0]],
    )
    twos = (queries * 6 + supports).bincount(minlength=36).view(6, 6)
    assert twos.diagonal().sum() == 0
    assert (twos[~torch.eye(6, dtype=torch.bool)] - 40).abs().max() < 32  # sd 6


def test_answers_of_runs_are_everywhere_alike(dataset):
    episodes = sample_runs(whole(dataset), 1000, seeded(5), way=5)
    assert spread(episodes.answers, 5, 1e-6)  # each position once a run
    for place in range(5):  # nor does the place in the run, or the character, tell the answer
        assert spread(episodes.answers[place::5], 5, 0.07)
    of_one = dataset.classes[episodes.queries] == 13
    assert spread(episodes.answers[of_one], 5, 0.12)
    # one answer of a run does not tell the next
    steps = episodes.answers.view(-1, 5).diff(dim=1) % 5
    assert (steps.flatten().bincount(minlength=5)[1:] / 4000 - 0.25).abs().max() < 0.05
    # the order of the supports does not tell one class from another
    order = dataset.classes[episodes.supports[::5, :, 0]].argsort(1)[:, 0]
    assert spread(order, 5, 0.07)


@pytest.mark.parametrize(("way", "shot"), [(5, 1), (2, 3), (1, 1), (8, 2)])
@pytest.mark.parametrize("part", [whole, ragged])
def test_independent_episodes(dataset, part, way, shot):
    class_index = part(dataset)
    shot = min(shot, int(class_index.counts.min()) - 1)
    episodes = sample_episodes(class_index, 150, seeded(6), way, shot)
    assert episodes.supports.shape == (150, way, shot)
    check_episodes(dataset, class_index, episodes, within=False)


def test_memory_is_bounded_and_episodes_are_the_same_where_all_fit(dataset, monkeypatch):
    class_index, sizes = whole(dataset), []
    episodes = sample_episodes(class_index, 100, seeded(6), 5)
    draw = torch.rand

    def watched(*size, **options):
        found = draw(*size, **options)
        sizes.append(found.numel())
        return found

    monkeypatch.setattr(torch, "rand", watched)
    for most, same in ((100 * 5 * 6, True), (7 * 5 * 6, False), (1, False)):
        monkeypatch.setattr(episodes_module, "_MAX_KEYS", most)
        sizes.clear()
        found = sample_episodes(class_index, 100, seeded(6), 5)
        assert max(sizes) <= max(most, 5 * 6)
        assert (found.digest == episodes.digest) is same
        check_episodes(dataset, class_index, found, within=False)
        assert len(found) == 100


def test_answers_of_independent_episodes_are_everywhere_alike(dataset):
    episodes = sample_episodes(whole(dataset), 3000, seeded(7), 5)
    assert len(episodes) == 3000
    assert spread(episodes.answers, 5, 0.04)
    asked = dataset.classes[episodes.queries].bincount(minlength=26) / 3000
    assert (asked - 1 / 26).abs().max() < 0.03
    drawers = dataset.drawers[episodes.queries].bincount(minlength=6) / 3000
    assert (drawers - 1 / 6).abs().max() < 0.04


def test_no_more_classes_than_there_are(dataset):
    class_index = whole(dataset)
    assert sample_episodes(class_index, 4, seeded(8), 26).way == 26
    with pytest.raises(UserError, match=r"way=27: .* 26 classes"):
        sample_episodes(class_index, 4, seeded(8), 27)


def test_too_few_drawers_are_an_error(dataset):
    class_index = whole(dataset)
    assert sample_episodes(class_index, 4, seeded(0), 3, shot=5).shot == 5
    said = r"6-shot needs 7 images of each class, AlphabetA/.* has 6: .*fewer shots$"
    with pytest.raises(UserError, match=said):
        sample_episodes(class_index, 4, seeded(0), 3, shot=6)
    with pytest.raises(UserError, match="at least 1"):
        sample_runs(class_index, 0, seeded(0), 5)
    for way, shot, count in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(UserError, match="at least 1"):
            sample_episodes(class_index, count, seeded(0), way, shot)
    alone = ClassIndex(dataset, (dataset.drawers == 2).nonzero().flatten())
    with pytest.raises(UserError, match="in no alphabet do 2 drawers have 5 characters in common"):
        sample_runs(alone, 1, seeded(0), 5)


@pytest.mark.parametrize("part", [whole, ragged])
def test_whole_alphabet_batches(dataset, part):
    class_index = part(dataset)
    chosen = torch.zeros(4)
    for seed in range(60):
        batch = sample_alphabet_batch(class_index, 2, 4, 2, seeded(seed))
        assert batch.shape == (2, 4, 2)
        assert set(batch.flatten().tolist()) <= set(class_index.indices.tolist())
        alphabets = dataset.alphabets[batch]
        assert (alphabets == alphabets[:, :1, :1]).all()
        assert alphabets[0, 0, 0] != alphabets[1, 0, 0]
        classes = dataset.classes[batch]
        assert (classes == classes[:, :, :1]).all()
        assert all(len(set(row)) == 4 for row in classes[:, :, 0].tolist())
        drawers = dataset.drawers[batch]
        assert (drawers == drawers[:, :1]).all()
        assert all(len(set(row)) == 2 for row in drawers[:, 0].tolist())
        chosen[alphabets[:, 0, 0]] += 1
    assert (chosen - 30).abs().max() < 16  # sd 4


def test_whole_alphabet_batches_that_cannot_be(dataset):
    class_index = whole(dataset)
    assert sample_alphabet_batch(class_index, 2, 7, 6, seeded(0)).shape == (2, 7, 6)
    with pytest.raises(UserError, match=r"3 alphabets with 7 characters.* 2 of the 4 to train"):
        sample_alphabet_batch(class_index, 3, 7, 2, seeded(0))
    with pytest.raises(UserError, match=r"4 characters by 7 drawers.* 0 of the .*n_drawers"):
        sample_alphabet_batch(class_index, 2, 4, 7, seeded(0))


def test_few_drawers_whose_numbers_start_late_or_beside_many_are_found(dataset):
    """Under koch drawers 8 … 19 train: three of them are as easy to find as among 0 … 11."""
    late = ClassIndex(dataset, dataset.indices(drawers=[3, 4, 5]))
    keep = (dataset.alphabets != 1) | (dataset.drawers < 3)
    beside = ClassIndex(dataset, keep.nonzero().flatten())
    for class_index, tries in ((late, 60), (beside, 300)):
        for seed in range(tries):
            assert sample_alphabet_batch(class_index, 4, 5, 3, seeded(seed)).shape == (4, 5, 3)


def test_few_drawers_of_many_who_have_drawn_enough_are_found():
    """One class has images by 60, the others by the first 20, as a person's folders may."""
    dataset = make_dataset((5, 5), drawers=60)
    class_index = ClassIndex(
        dataset, ((dataset.classes % 5 == 0) | (dataset.drawers < 20)).nonzero().flatten()
    )
    for seed in range(20):
        batch = sample_alphabet_batch(class_index, 2, 4, 3, seeded(seed))
        assert batch.flatten().unique().numel() == 24
        sample_runs(class_index, 2, seeded(seed), 4)


def test_the_only_drawers_who_can_are_found():
    """Each of forty has five characters of their own; drawers 7 and 30 also share five."""
    dataset = make_dataset((205,), drawers=40)
    own = dataset.classes // 5 == dataset.drawers
    shared = (dataset.classes >= 200) & ((dataset.drawers == 7) | (dataset.drawers == 30))
    class_index = ClassIndex(dataset, (own | shared).nonzero().flatten())
    for seed in range(5):  # by chance 200 tries find the one of 780 pairs one time in four
        episodes = sample_runs(class_index, 3, seeded(seed), 5)
        assert set(dataset.drawers[episodes.queries].tolist()) <= {7, 30}
        check_episodes(dataset, class_index, episodes, within=True)
    with pytest.raises(UserError, match="by 3 drawers in common, but 0 of the"):
        sample_alphabet_batch(class_index, 1, 5, 3, seeded(1))


def test_an_alphabet_that_no_drawers_share_is_left_out(dataset):
    """AlphabetB has five characters, each by another drawer and by drawer 5."""
    alone = (dataset.alphabets == 1) & (dataset.drawers != 5)
    keep = ~alone | (dataset.classes % 5 == dataset.drawers)
    class_index = ClassIndex(dataset, keep.nonzero().flatten())
    assert class_index.excluded_alphabets(3) == []
    assert class_index.excluded_alphabets(3, 2) == ["AlphabetB"]
    episodes = sample_runs(class_index, 6, seeded(2), 3)
    assert set(dataset.alphabets[episodes.queries].tolist()) == {0, 2, 3}
    for seed in range(40):
        assert 1 not in dataset.alphabets[sample_alphabet_batch(class_index, 3, 3, 2, seeded(seed))]


def test_no_two_duplicate_classes_in_an_episode(dataset):
    """Draws in which no two of a set meet keep every image."""
    alike = [6, 7, 8]
    twice = replace(dataset, duplicate_classes=(tuple(dataset.class_names[k] for k in alike),))
    class_index, plain = whole(twice), whole(dataset)
    makers = (
        lambda index, seed: sample_runs(index, 1, seeded(seed), 3).supports,
        lambda index, seed: sample_episodes(index, 1, seeded(seed), 9).supports,
        lambda index, seed: sample_alphabet_batch(index, 2, 3, 2, seeded(seed)),
    )
    for make in makers:
        met = 0
        for seed in range(80):
            found, old = (dataset.classes[make(index, seed)] for index in (class_index, plain))
            if torch.isin(old.unique(), torch.tensor(alike)).sum() < 2:
                assert torch.equal(make(class_index, seed), make(plain, seed))
            else:
                met += 1
                assert torch.isin(found.unique(), torch.tensor(alike)).sum() == 1
            assert found.unique().numel() == old.unique().numel()
        assert met > 4
    assert sample_episodes(class_index, 2, seeded(0), 24).way == 24
    with pytest.raises(UserError, match=r"way=25: .* 24 classes"):
        sample_episodes(class_index, 2, seeded(0), 25)
    with pytest.raises(UserError, match="4 alphabets with 4 characters"):
        sample_alphabet_batch(class_index, 4, 4, 2, seeded(0))


def test_the_seed_decides_and_nothing_else(dataset):
    class_index = whole(dataset)
    makers = (
        lambda rng: sample_runs(class_index, 12, rng, 5).digest,
        lambda rng: sample_episodes(class_index, 60, rng, 5).digest,
        lambda rng: sample_episodes(class_index, 60, rng, 5, 2).digest,
        lambda rng: str(sample_alphabet_batch(class_index, 2, 4, 2, rng).tolist()),
    )
    for make in makers:
        torch.manual_seed(1)
        one = make(seeded(9))
        torch.manual_seed(2)
        before = torch.get_rng_state()
        assert make(seeded(9)) == one
        assert torch.equal(before, torch.get_rng_state())
        assert make(seeded(10)) != one


def test_a_digest_notices_each_part(dataset):
    episodes = sample_runs(whole(dataset), 2, seeded(9), 5)
    other = (episodes.answers + 1) % 5
    changed = [
        Episodes(episodes.queries.flip(0), episodes.supports, episodes.answers),
        Episodes(episodes.queries, episodes.supports.flip(1), episodes.answers),
        Episodes(episodes.queries, episodes.supports, other),
    ]
    assert len({episodes.digest, *(each.digest for each in changed)}) == 4


def test_twenty_ways_and_one_shot_where_nothing_else_is_said_and_as_few_as_one():
    class_index = whole(make_dataset((21,), drawers=3))
    assert sample_runs(class_index, 1, seeded(0)).supports.shape == (20, 20, 1)
    assert sample_episodes(class_index, 2, seeded(0)).supports.shape == (2, 20, 1)
    assert sample_runs(class_index, 3, seeded(0), way=1).supports.shape == (3, 1, 1)
    assert sample_episodes(class_index, 1, seeded(0), way=1).supports.shape == (1, 1, 1)
    with pytest.raises(UserError, match="at least 1"):
        sample_runs(class_index, 0, seeded(0), 5)


def test_no_image_is_forgotten(dataset):
    """The one at position 0 too, as query and as support."""
    episodes = sample_episodes(whole(dataset), 4000, seeded(0), 2)
    assert episodes.queries.unique().tolist() == list(range(len(dataset)))
    assert episodes.supports.unique().tolist() == list(range(len(dataset)))


def test_lists_stay_as_they_were(dataset):
    """A list that changes makes figures incomparable, however good the new one is."""
    class_index = ragged(dataset)
    assert sample_runs(class_index, 9, seeded(0), 5).digest == "760be192ea6a738c"
    assert sample_episodes(class_index, 1100, seeded(0), 5).digest == "c3fe0be20f474c1d"
    assert sample_episodes(class_index, 1100, seeded(0), 5, 2).digest == "a93ad22d40565276"
    assert fingerprint(sample_alphabet_batch(class_index, 2, 4, 2, seeded(0))) == "3a2cf06eb9767b63"
