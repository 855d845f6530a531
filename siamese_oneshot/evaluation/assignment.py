"""The one-to-one assignment of whole runs: another task than one-shot classification.

In a run every class of the support is asked for once. Who answers all of its episodes together, each
class given once, knows more than who answers each alone: these figures stand in rows of their own
and never beside published ones.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.evaluation.results import EpisodeResults


def runs_of(episodes: Episodes) -> Tensor | None:
    """The episodes in their runs.

    Returns:
        int64 ``(runs, way)``: episodes in a row that have one support and each of its classes once;
        None where the list is not made of such runs.
    """
    way = episodes.way
    if len(episodes.queries) % way:
        return None
    supports = episodes.supports.unflatten(0, (-1, way))
    alike = bool((supports == supports[:, :1]).all())
    classes = episodes.answers.unflatten(0, (-1, way)).sort(1).values
    if not alike or not bool((classes == torch.arange(way)).all()):
        return None
    return torch.arange(len(episodes.queries)).unflatten(0, (-1, way))


def assigned(results: EpisodeResults) -> EpisodeResults | None:
    """The picks that make the sum of a run's scores highest, each class picked once a run.

    Returns:
        The same list with other picks; None where it is not made of runs. A score that is NaN
        counts as the lowest.
    """
    runs = runs_of(results.task.episodes)
    if runs is None:
        return None
    picks = torch.empty_like(results.picks)
    for run in runs:
        scores = results.scores[run].double().nan_to_num(nan=-1e30, posinf=1e30, neginf=-1e30)
        # Equal scores must not favour the order of the list.
        shuffled = torch.randperm(len(run), generator=torch.Generator().manual_seed(int(run[0])))
        rows, columns = linear_sum_assignment(scores[:, shuffled].numpy(), maximize=True)
        picks[run[torch.as_tensor(rows)]] = shuffled[torch.as_tensor(columns)]
    return EpisodeResults(results.task, results.scores, picks)
