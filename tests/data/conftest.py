"""A look-alike of Omniglot's files in place of the official ones."""

import pytest
from lookalike import Lookalike

from siamese_oneshot.data.omniglot import loader


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return Lookalike(tmp_path_factory.mktemp("lookalike"))


@pytest.fixture
def lookalike(built, monkeypatch, tmp_path):
    """The look-alike in place of the official edition, in a folder where nothing else is found."""
    monkeypatch.setattr(loader, "EDITION", built.edition)
    monkeypatch.setenv("SIAMESE_ONESHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OMNIGLOT_ROOT", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def no_network(url):
        raise OSError("Name or service not known")

    monkeypatch.setattr(loader, "open_https", no_network)
    return built
