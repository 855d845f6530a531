"""Which lists a model is asked, and that none is about what it has learned."""

from __future__ import annotations

import pytest
from comparing import MORE, SIZE, mnist_like, network, pixels

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.evaluation.model_evaluation import TaskProvider
from siamese_oneshot.utils.errors import UserError


def test_models_that_know_their_split_keep_it(
    dataset: CharacterDataset, task_provider: TaskProvider
) -> None:
    assert task_provider.sheet(network()).split.name == "ratio_60_20_20"
    stranger = network(split="koch", data_source="omniglot")  # trained on other data
    assert task_provider.sheet(stranger).split.name == "ratio_60_20_20"
    assert task_provider.sheet(network()).test is task_provider.sheet(pixels()).test  # drawn once


def test_a_split_is_not_rebuilt_on_other_dataset_of_the_kind(dataset: CharacterDataset) -> None:
    task_provider = TaskProvider(
        LoadedData(dataset, None, (), "these"), None, "ratio_60_20_20", None, SIZE, MORE
    )
    assert task_provider.sheet(network(data_digest="these")).split.name == "ratio_60_20_20"
    assert (
        task_provider.sheet(network()).split.name == "ratio_60_20_20"
    )  # of a network that does not know
    assert (
        task_provider.sheet(network(data_digest="others", data_source="folder")).split.name
        == "ratio_60_20_20"
    )
    with pytest.raises(
        UserError, match="tiny was trained with data=synthetic, but with other draw"
    ):
        task_provider.sheet(network(data_digest="others"))


def test_each_size_is_made_once(task_provider: TaskProvider) -> None:
    assert task_provider.sheet(pixels()).dataset is task_provider.sheet(network()).dataset
    assert task_provider.sheet(pixels()).dataset.pixels.shape[-1] == 16


def test_mnist_in_a_size(dataset: CharacterDataset) -> None:
    task_provider = TaskProvider(
        LoadedData(dataset, None), mnist_like(), "ratio_60_20_20", None, SIZE, MORE
    )
    assert task_provider.mnist_of(20).pixels.shape == (90, 20, 20)
    assert task_provider.mnist_of(20) is task_provider.mnist_of(20)
    assert task_provider.mnist_task.n.way == 10


@pytest.mark.omniglot
def test_real_a_forced_split_may_not_test_what_was_learned(omniglot) -> None:
    def task_provider(forced: str | None) -> TaskProvider:
        return TaskProvider(
            LoadedData(omniglot.dataset, omniglot.runs), None, "lake", forced, SIZE, MORE
        )

    known = {"data_source": "omniglot"}
    assert task_provider(None).sheet(pixels()).split.name == "lake"
    assert task_provider(None).sheet(network(split="koch", **known)).split.name == "koch"
    assert task_provider("vinyals").sheet(network(split="lake", **known)).split.name == "vinyals"
    with pytest.raises(UserError, match="trained or chosen with split=koch40 on Angelic"):
        task_provider("lake").sheet(network(split="koch40", **known))
    with pytest.raises(UserError, match=r"split=koch on Angelic.*which split=lake tests"):
        task_provider("lake").sheet(network(split="koch", **known))
    chosen = network(split="lake", val_alphabets=["Greek"], **known)
    validation = task_provider(None).sheet(chosen).split.validation
    names = omniglot.dataset.alphabets[validation].unique().tolist()
    assert [omniglot.dataset.alphabet_names[one] for one in names] == ["Greek"]
