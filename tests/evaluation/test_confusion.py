"""Classes that are mixed up, counted by hand and one by one."""

from __future__ import annotations

import torch

from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.tasks import EpisodeTask
from siamese_oneshot.evaluation.evaluator import Confusion, confusions
from siamese_oneshot.evaluation.evaluator import EpisodeResults

CLASSES = torch.arange(12) // 3  # four classes of three images


def results(rows: list[tuple[int, list[int], int]]) -> EpisodeResults:
    """Episodes of (query, a support a way, the way that was picked); the query's class is right."""
    queries, supports, picks = (torch.tensor(column) for column in zip(*rows, strict=True))
    right = (CLASSES[supports] == CLASSES[queries][:, None]).long().argmax(1)
    episodes = Episodes(queries, supports[..., None], right)
    return EpisodeResults(
        EpisodeTask("lake_runs", "", "", episodes), torch.zeros(len(rows), 3), picks
    )


def test_by_hand() -> None:
    one = results(
        [
            (0, [1, 3, 6], 1),  # class 0 taken for 1
            (3, [4, 0, 9], 1),  # class 1 taken for 0
            (3, [4, 0, 9], 0),  # right, but it might have been taken for 0
            (6, [9, 7, 1], 0),  # class 2 taken for 3
            (0, [9, 1, 8], 1),  # right
        ]
    )
    assert confusions(one, CLASSES) == [Confusion(0, 1, 2, 3), Confusion(2, 3, 1, 1)]


def test_a_image_and_its_like_count_alike() -> None:
    """The more often a pair had the chance, the less one mistake says: it comes later."""
    one = results([(0, [1, 3, 6], 1), (3, [4, 0, 9], 0), (6, [9, 7, 1], 0)])
    assert [(c.one, c.other) for c in confusions(one, CLASSES)] == [(2, 3), (0, 1)]


def test_they_add_up_to_all_mistakes() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(200):
        order = torch.randperm(4, generator=rng)[:3].tolist()
        drawer = torch.randint(3, (4,), generator=rng).tolist()
        query = 3 * order[0] + drawer[3]
        pick = int(torch.randint(3, (), generator=rng))
        rows.append((query, [3 * c + drawer[k] for k, c in enumerate(order)], pick))
    one = results(rows)
    found = confusions(one, CLASSES)
    assert sum(c.times for c in found) == one.episodes - one.correct > 50
    for c in found:
        mine = {c.one, c.other}
        met = [(q, s) for q, s, _ in rows if int(CLASSES[q]) in mine]
        assert c.chances == sum(mine <= set(CLASSES[torch.tensor(s)].tolist()) for _, s in met)
    assert [c.times for c in found] == sorted((c.times for c in found), reverse=True)


def test_no_mistake() -> None:
    assert confusions(results([(0, [1, 3, 6], 0)]), CLASSES) == []
