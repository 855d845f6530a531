"""Hydra parses conf/ and composes a config anew for each job; the tests ask for thousands."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from unittest import mock

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from omegaconf import DictConfig, OmegaConf

UNCHANGED = {str(Path(__file__).resolve().parents[1] / "conf")}  # no test changes these folders


@contextmanager
def each_text_parsed_once() -> Iterator[None]:
    """What is loaded is a copy that nobody shares; a text that cannot be parsed fails as ever."""
    parse = OmegaConf.load
    known: dict[str, bytes] = {}

    def load(file_: str | Path | IO[Any]) -> Any:
        if isinstance(file_, str | Path):
            with open(file_, encoding="utf-8") as file:
                return load(file)
        text = file_.read()
        if text not in known:
            file_.seek(0)
            known[text] = pickle.dumps(parse(file_))
        return pickle.loads(known[text])  # a fifth of the time of a deepcopy

    with mock.patch.object(OmegaConf, "load", staticmethod(load)):
        yield


@contextmanager
def each_line_composed_once() -> Iterator[None]:
    """A command composes its line twice, a sweep up to seven times."""
    compose = ConfigLoaderImpl.load_configuration
    merge = ConfigLoaderImpl._compose_config_from_defaults_list
    known: dict[str, bytes] = {}

    def once(self: ConfigLoaderImpl, asked: Any, make: Callable[[], DictConfig]) -> Any:
        sources = [one.path for one in self.config_search_path.get_path()]
        if not {path for path in sources if path and "://" not in path} <= UNCHANGED:
            return make()
        runtime = Singleton.get_state()["instances"].get(JobRuntime)
        key = repr((sources, runtime and runtime.conf, asked))
        if key not in known:
            known[key] = pickle.dumps(make())
        return pickle.loads(known[key])

    def load_configuration(self: ConfigLoaderImpl, *line: Any, **named: Any) -> DictConfig:
        cfg: DictConfig = once(self, (line, named), lambda: compose(self, *line, **named))
        cfg.hydra.runtime.cwd = os.getcwd()
        return cfg

    def of_defaults(self: ConfigLoaderImpl, defaults: Any, repo: Any) -> DictConfig:
        """The groups alone, which most lines have in common."""
        return once(self, defaults, lambda: merge(self, defaults, repo))

    with (
        mock.patch.object(ConfigLoaderImpl, "load_configuration", load_configuration),
        mock.patch.object(ConfigLoaderImpl, "_compose_config_from_defaults_list", of_defaults),
    ):
        yield
