"""Evaluation tasks: frozen lists of verification pairs and one-shot episodes.

Every list is drawn from a seed of its own (``EvalConfig.seed``), so that runs with different
training seeds are scored on the same pairs and episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes, sample_episodes, sample_runs
from siamese_oneshot.data.mnist import sample_mnist_episodes
from siamese_oneshot.data.pairs import Pairs, sample_pairs
from siamese_oneshot.data.samplers import generator_for
from siamese_oneshot.data.splits import Split
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

WAY_CURVE_TEST, WAY_CURVE_TRAIN, FEW_SHOT = "way_curve_test", "way_curve_train", "few_shot"
# Lake's thesis (4.2.1): the runs are no random sample of within-alphabet episodes.
LAKE_RUNS_ARE = "four typical drawers of each alphabet, characters picked for diversity"


@dataclass(frozen=True)
class EpisodeTask:
    """One frozen list of episodes.

    Attributes:
        key: Short name for logs, unique within a stage, such as ``koch_protocol``.
        title: Name for people.
        protocol: How the episodes were drawn, in one sentence.
        episodes: The episodes.
        series: Name of the curve or group that this list is a point of (``way_curve_test``,
            ``way_curve_train`` or ``few_shot``), or None.
        comparable_with: Id of the published protocol that this list follows, or None.
        kind: ``one_shot``.
    """

    key: str
    title: str
    protocol: str
    episodes: Episodes
    series: str | None = None
    comparable_with: str | None = None
    kind: str = "one_shot"

    @property
    def way(self) -> int:
        """Number of classes in an episode."""
        return self.episodes.way

    @property
    def shot(self) -> int:
        """Number of support images per class."""
        return self.episodes.shot


@dataclass(frozen=True)
class EvalTasks:
    """Everything that a model is evaluated on at one stage (validation or test).

    Attributes:
        pairs: Verification pairs.
        episode_tasks: Lists of episodes. Models are selected by the first list of validation.
        pairs_comparable_with: Id of the published protocol that the pairs follow, or None.
    """

    pairs: Pairs
    episode_tasks: tuple[EpisodeTask, ...]
    pairs_comparable_with: str | None = None

    @property
    def indices(self) -> Tensor:
        """int64, ascending: every image that occurs in a list, once."""
        images = [self.pairs.first, self.pairs.second, indices_of(self.episode_tasks)]
        return torch.unique(torch.cat(images))

    @property
    def digests(self) -> dict[str, str]:
        """Hash of each list by its key."""
        episodes = {task.key: task.episodes.digest for task in self.episode_tasks}
        return {"pairs": self.pairs.digest, **episodes}


EvalProtocol = Callable[[CharacterDataset, Split, int], Iterable[EpisodeTask]]


@dataclass(frozen=True)
class EvalConfig:
    """Sizes of the frozen lists.

    Attributes:
        n_pairs: Verification pairs for validation and for test (paper: 10,000 each).
        val_runs: Validation runs of ``way`` episodes (paper: 16 runs of 20 episodes).
        koch_val_runs: How many of the first validation runs are a list of their own, too; 0 for
            none. Models are selected by all ``val_runs``.
        koch_runs: Test runs by the paper's protocol on the split's test drawers (paper: 20 runs
            of 20 episodes).
        test_runs: Test runs within one alphabet by all drawers; 500 runs are 10,000 episodes.
        n_cross_episodes: Test episodes across alphabets.
        way: Classes in an episode.
        pairs_within_alphabet: Whether the two characters of a "different" pair share an alphabet.
        seed: Seed of all lists, independent of the training seed.
        protocols: Further test protocols by name. Each is called with the dataset, the split and
            ``seed`` and returns or yields `EpisodeTask` objects.
    """

    n_pairs: int = 10_000
    val_runs: int = 500
    koch_val_runs: int = 0
    koch_runs: int = 20
    test_runs: int = 500
    n_cross_episodes: int = 10_000
    way: int = 20
    pairs_within_alphabet: bool = False
    seed: int = 2015
    protocols: Mapping[str, EvalProtocol] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("n_pairs", "val_runs", "koch_runs", "test_runs", "n_cross_episodes"):
            check.integer(name, getattr(self, name), 1)
        check.integer("koch_val_runs", self.koch_val_runs, 0)
        check.integer("way", self.way, 2)
        check.boolean("pairs_within_alphabet", self.pairs_within_alphabet)
        check.seed("seed", self.seed)
        check.mapping("protocols", self.protocols)
        for name, protocol in (self.protocols or {}).items():
            if not callable(protocol):
                expected = "a function of (dataset, split, seed): add `_partial_: true`"
                raise ArgumentError(f"protocols.{name}", protocol, expected)


@dataclass(frozen=True)
class ProtocolConfig:
    """Sizes of the lists that ``evaluate`` adds to those of `EvalConfig`.

    Attributes:
        max_way: Largest number of ways of the curve of accuracy against way.
        episodes_per_way: Episodes for each number of ways.
        few_shot_episodes: Episodes for each of 5- and 20-way, 1- and 5-shot (Vinyals et al. 2016).
        mnist_episodes: 10-way episodes of MNIST (paper: 400).
        lake_sampling_runs: Within-alphabet runs for each of three steps from the drawers and
            characters of Lake's runs to all test alphabets; 0 leaves these lists out.
        rotated_few_shot_episodes: As ``few_shot_episodes``, with copies of the test characters
            rotated by 90, 180 and 270 degrees as classes of their own, as the publications have
            them; 0 leaves these lists out.
    """

    max_way: int = 21
    episodes_per_way: int = 1000
    few_shot_episodes: int = 5000
    mnist_episodes: int = 10_000
    lake_sampling_runs: int = 0
    rotated_few_shot_episodes: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("max_way", "episodes_per_way", "few_shot_episodes", "mnist_episodes"):
            check.integer(name, getattr(self, name), 1)
        for name in ("lake_sampling_runs", "rotated_few_shot_episodes"):
            check.integer(name, getattr(self, name), 0)


def make_validation_tasks(class_index: ClassIndex, config: EvalConfig) -> EvalTasks:
    """Pairs and runs of within-alphabet episodes of the validation characters."""
    task = EpisodeTask(
        "one_shot",
        f"validation {config.way}-way one-shot",
        f"{config.way}-way within one alphabet, 2 drawers per run, "
        f"{_alphabets(class_index, config.way)}",
        sample_runs(class_index, config.val_runs, generator_for(config.seed, 1), config.way),
    )
    tasks = [task]
    if 0 < config.koch_val_runs < config.val_runs:
        first = first_episodes(task, config.koch_val_runs * config.way)
        title = f"validation {config.way}-way one-shot, first {len(first.episodes):,} episodes"
        tasks.append(replace(first, key="koch_trials", title=title))
    return EvalTasks(_pairs(class_index, config, 2), tuple(tasks))


def make_test_tasks(
    dataset: CharacterDataset, split: Split, runs: Episodes | None, config: EvalConfig
) -> EvalTasks:
    """Lake's runs where they are test data, the standard test lists, and registered protocols."""
    test = ClassIndex(dataset, split.test)
    all_drawers = ClassIndex(dataset, split.test_all_drawers)
    way, seed = config.way, config.seed
    twenty, omniglot = way == 20, dataset.source == "omniglot"
    tasks = []
    # Some alphabets of Lake's runs are validation data under ratio_60_20_20.
    if runs is not None and torch.isin(runs.queries, all_drawers.indices).all():
        protocol = (
            "Lake et al. (2015): 20 runs of 20 episodes, 20-way within one alphabet, by "
            f"{LAKE_RUNS_ARE}"
        )
        tasks.append(
            EpisodeTask("lake_runs", "Lake's 20-way runs", protocol, runs,
                        comparable_with="within_alphabet_20way")
        )  # fmt: skip
    tasks += [
        EpisodeTask(
            "within_alphabet",
            f"within-alphabet {way}-way",
            f"{way}-way within one alphabet, 2 of all drawers per run, "
            f"{_alphabets(all_drawers, way)}",
            sample_runs(all_drawers, config.test_runs, generator_for(seed, 3), way),
        ),
        EpisodeTask(
            "cross_alphabet",
            f"cross-alphabet {way}-way",
            f"{way}-way from the {len(all_drawers)} test characters of "
            f"{len(all_drawers.alphabet_names)} alphabets",
            sample_episodes(all_drawers, config.n_cross_episodes, generator_for(seed, 4), way),
            comparable_with="cross_alphabet_20way" if omniglot and twenty else None,
        ),
        EpisodeTask(
            "koch_protocol",
            # Its drawers and alphabets are those of the paper under this split alone.
            f"Koch's protocol {way}-way"
            if split.name == "koch"
            else f"within-alphabet {way}-way, the split's drawers",
            f"{way}-way within one alphabet, 2 of the split's test drawers per run, "
            f"{_alphabets(test, way)}",
            sample_runs(test, config.koch_runs, generator_for(seed, 6), way),
            comparable_with="within_alphabet_20way" if split.name == "koch" and twenty else None,
        ),
    ]
    for protocol_function in (config.protocols or {}).values():
        tasks += protocol_function(dataset, split, seed)
    _check_keys(tasks)
    same_as_koch = omniglot and not config.pairs_within_alphabet
    return EvalTasks(
        _pairs(test, config, 5), tuple(tasks), "verification" if same_as_koch else None
    )


def tasks_of(
    dataset: CharacterDataset,
    split: Split,
    runs: Episodes | None,
    config: EvalConfig,
    protocols: ProtocolConfig,
) -> tuple[EvalTasks, EvalTasks]:
    """The validation tasks, and the test tasks with few-shot lists and the way curves added."""
    validation = make_validation_tasks(ClassIndex(dataset, split.validation), config)
    test = make_test_tasks(dataset, split, runs, config)
    all_drawers = ClassIndex(dataset, split.test_all_drawers)
    comparable = dataset.source == "omniglot"
    tasks = (
        *test.episode_tasks,
        *_few_shot(all_drawers, config, protocols.few_shot_episodes),
        *_way_curve(all_drawers, WAY_CURVE_TEST, "test", comparable, config, protocols),
    )
    if len(split.train):  # of test_only there is none
        # These lists are older than the list of duplicate classes: they stay as they were frozen.
        train = ClassIndex(replace(dataset, duplicate_classes=()), split.train)
        tasks += (*_way_curve(train, WAY_CURVE_TRAIN, "training", False, config, protocols),)
    if protocols.rotated_few_shot_episodes:
        tasks += tuple(_rotated_few_shot(dataset, split, config, protocols))
    if protocols.lake_sampling_runs and any(task.key == "lake_runs" for task in tasks):
        assert runs is not None
        tasks += tuple(_lake_sampling(dataset, all_drawers, runs, config, protocols))
    _check_keys(tasks)
    return validation, replace(test, episode_tasks=tasks)


def mnist_task(
    mnist: CharacterDataset, config: EvalConfig, protocols: ProtocolConfig
) -> EpisodeTask:
    """10-way one-shot episodes of MNIST, with one support image per digit (section 4.4)."""
    return EpisodeTask(
        "mnist",
        "MNIST 10-way",
        f"10-way, no digit in training, {len(mnist):,} images, enlarged bilinearly",
        sample_mnist_episodes(mnist, protocols.mnist_episodes, generator_for(config.seed, 9)),
        comparable_with="mnist_10way",
    )


def first_episodes(task: EpisodeTask, limit: int | None) -> EpisodeTask:
    """The task with its first ``limit`` episodes only, as its protocol then says."""
    episodes = task.episodes
    if limit is None or len(episodes) <= limit:
        return task
    return replace(
        task,
        protocol=f"{task.protocol}; the first {limit:,} of {len(episodes):,} episodes",
        episodes=Episodes(*(part[:limit] for part in vars(episodes).values())),
    )


def indices_of(episode_tasks: Sequence[EpisodeTask]) -> Tensor:
    """int64, ascending: every image that occurs in some tasks, once."""
    images = [
        indices.flatten()
        for task in episode_tasks
        for indices in (task.episodes.queries, task.episodes.supports)
    ]
    return torch.unique(torch.cat(images)) if images else torch.empty(0, dtype=torch.int64)


def _pairs(class_index: ClassIndex, config: EvalConfig, stream: int) -> Pairs:
    rng = generator_for(config.seed, stream)
    return sample_pairs(class_index, config.n_pairs, rng, config.pairs_within_alphabet)


def _lake_sampling(
    dataset: CharacterDataset,
    test: ClassIndex,
    runs: Episodes,
    config: EvalConfig,
    protocols: ProtocolConfig,
) -> Iterator[EpisodeTask]:
    """Within-alphabet lists that separate how Lake's drawers, characters and alphabets were chosen.

    The next step, all test alphabets by all drawers, is the list ``within_alphabet``.
    """
    lake = torch.unique(torch.cat([runs.queries, runs.supports.flatten()]))
    images = test.indices
    alphabets, drawers = dataset.alphabets, dataset.drawers
    ten = images[torch.isin(alphabets[images], alphabets[lake])]
    by = alphabets * (1 + drawers.max()) + drawers  # an alphabet's drawer
    four = ten[torch.isin(by[ten], by[lake])]
    steps = {
        "drawers_and_characters": (lake, "drawers and characters"),
        "drawers": (four, "drawers, any characters of their alphabets"),
        "alphabets": (ten, "alphabets, any drawers"),
    }
    for stream, (key, (chosen, name)) in enumerate(steps.items(), start=10):
        rng = generator_for(config.seed, stream)
        yield EpisodeTask(
            f"lake_{key}",
            f"within-alphabet, Lake's {name}",
            f"{config.way}-way within one alphabet, 2 drawers per run; Lake's {name}",
            sample_runs(ClassIndex(dataset, chosen), protocols.lake_sampling_runs, rng, config.way),
        )


def _few_shot(
    class_index: ClassIndex, config: EvalConfig, n_episodes: int, stream: int = 7
) -> Iterator[EpisodeTask]:
    """5- and 20-way, 1- and 5-shot, as far as there are enough classes and images."""
    max_shot = int(class_index.counts.min()) - 1
    for way in (5, 20):
        for shot in (1, 5):
            if way > class_index.n_characters or shot > max_shot:
                continue
            rng = generator_for(config.seed, stream, way, shot)
            yield EpisodeTask(
                f"{FEW_SHOT}_{way}way_{shot}shot",
                f"{way}-way {shot}-shot, cross-alphabet",
                f"{way}-way {shot}-shot from {len(class_index)} test characters without rotated "
                "copies (Vinyals et al. test 423 of 1,623 characters and their rotations; "
                "split=vinyals has those 423)",
                sample_episodes(class_index, n_episodes, rng, way, shot),
                series=FEW_SHOT,
            )


def _rotated_few_shot(
    dataset: CharacterDataset, split: Split, config: EvalConfig, protocols: ProtocolConfig
) -> Iterator[EpisodeTask]:
    """The lists of `_few_shot` with rotated copies of the characters as classes of their own.

    Their indices are those of ``dataset.with_rotations(split.test_all_drawers)``.
    """
    without_pixels = replace(dataset, pixels=dataset.pixels[:, :1, :1])  # they take memory
    images = without_pixels.with_rotations(split.test_all_drawers)
    copies = torch.arange(len(dataset), len(images))
    class_index = ClassIndex(images, torch.cat([split.test_all_drawers, copies]))
    published = dataset.source == "omniglot" and split.name == "vinyals"
    for task in _few_shot(class_index, config, protocols.rotated_few_shot_episodes, stream=13):
        yield replace(
            task,
            key=f"rotated_{task.key}",
            title=f"{task.way}-way {task.shot}-shot, with rotated classes",
            protocol=f"{task.way}-way {task.shot}-shot from {len(class_index):,} classes: the test "
            "characters, and copies rotated by 90, 180 and 270 degrees",
            comparable_with=f"rotated_{task.way}way_{task.shot}shot" if published else None,
        )


def _way_curve(
    class_index: ClassIndex,
    series: str,
    name: str,
    comparable: bool,
    config: EvalConfig,
    protocols: ProtocolConfig,
) -> Iterator[EpisodeTask]:
    """Cross-alphabet episodes of 1, 2, 3 … ways, as far as there are enough classes."""
    if int(class_index.counts.min()) < 2:
        return
    for way in range(1, min(protocols.max_way, class_index.n_characters) + 1):
        rng = generator_for(config.seed, 8, way, int(series == WAY_CURVE_TRAIN))
        yield EpisodeTask(
            f"{series}_{way:02d}",
            f"{way}-way, {name} alphabets",
            f"{way}-way from {len(class_index)} {name} characters of "
            f"{len(class_index.alphabet_names)} alphabets",
            sample_episodes(class_index, protocols.episodes_per_way, rng, way),
            series=series,
            comparable_with="cross_alphabet_21way" if comparable and way == 21 else None,
        )


def _check_keys(tasks: Iterable[EpisodeTask]) -> None:
    """Refuse two lists with one key, whose scores would overwrite each other."""
    keys = set()
    for task in tasks:
        if task.key in keys:
            message = f"two evaluation protocols yield the key {task.key}: rename one"
            raise ArgumentError("protocols", task.key, message=message)
        keys.add(task.key)


def _alphabets(class_index: ClassIndex, way: int) -> str:
    """The number of alphabets that take part, and the names of those that are too small."""
    excluded = class_index.excluded_alphabets(way, 2)
    note = f"; too small: {', '.join(excluded)}" if excluded else ""
    return f"{len(class_index.alphabet_names) - len(excluded)} alphabets{note}"
