import hashlib
import io
import urllib.request
import urllib.response

import pytest

from siamese_oneshot.data.omniglot import loader
from siamese_oneshot.data.omniglot.loader import DownloadFailed, download, open_https

CONTENT = b"a zip of runs" * 20_000


class Answer(io.BytesIO):
    def __init__(self, content, length=None):
        super().__init__(content)
        self.headers = {} if length is None else {"Content-Length": str(length)}


@pytest.fixture
def served(monkeypatch):
    """Sets what answers to a request; returns the addresses asked for."""
    monkeypatch.setitem(loader.MD5, "all_runs", hashlib.md5(CONTENT).hexdigest())

    def serve(opener):
        asked = []
        monkeypatch.setattr(loader, "open_https", lambda url: asked.append(url) or opener(url))
        return asked

    return serve


@pytest.mark.parametrize("length", [None, len(CONTENT)])
def test_success(tmp_path, served, length):
    asked = served(lambda url: Answer(CONTENT, length))
    path = download("all_runs", tmp_path / "deep" / "omniglot")
    assert path == tmp_path / "deep" / "omniglot" / "all_runs.zip"
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["all_runs.zip"]
    assert asked == [loader.URLS["all_runs"]]


def test_every_address_is_https_and_has_an_md5():
    assert all(url.startswith("https://") for url in loader.URLS.values())
    assert loader.URLS.keys() == loader.MD5.keys()


def broken_off(url):
    class Dying(Answer):
        def read(self, size=-1):
            if self.tell() > 100_000:
                raise TimeoutError("timed out")
            return super().read(size)

    return Dying(CONTENT, len(CONTENT))


def no_network(url):
    raise OSError("Name or service not known")


@pytest.mark.parametrize(
    ("opener", "message"),
    [
        (lambda url: Answer(b"<html>log in</html>", 19), "its MD5 is"),
        (lambda url: Answer(CONTENT[:-10], len(CONTENT)), "ended after 259990 of 260000 bytes"),
        (broken_off, "timed out"),
        (no_network, "Name or service not known"),
    ],
)
def test_a_failure_names_the_address_and_leaves_nothing_behind(tmp_path, served, opener, message):
    served(opener)
    folder = tmp_path / "omniglot"
    folder.mkdir()
    (folder / "all_runs.zip").write_bytes(b"what was there before")
    with pytest.raises(DownloadFailed, match=message) as caught:
        download("all_runs", folder)
    assert loader.URLS["all_runs"] in str(caught.value)
    assert [file.name for file in folder.iterdir()] == ["all_runs.zip"]
    assert (folder / "all_runs.zip").read_bytes() == b"what was there before"


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MAX_BYTES", 100_000, "larger than 100000 bytes"),
        ("TOTAL_SECONDS", -1.0, "not finished after"),
    ],
)
def test_an_endless_or_slow_answer_is_cut(tmp_path, monkeypatch, served, limit, value, message):
    served(lambda url: Answer(CONTENT))
    monkeypatch.setattr(loader, limit, value)
    with pytest.raises(DownloadFailed, match=message):
        download("all_runs", tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_https_is_opened():
    for url in ("http://127.0.0.1/all_runs.zip", "file:///etc/hostname"):
        with pytest.raises(OSError, match="unknown url type"):
            open_https(url)


def test_no_redirect_to_plain_http_is_followed(monkeypatch):
    class Redirects(urllib.request.HTTPSHandler):
        def https_open(self, request):
            headers = {"location": "http://127.0.0.1/other"}
            answer = urllib.response.addinfourl(io.BytesIO(), headers, request.full_url, 302)
            answer.msg = "Found"
            return answer

    monkeypatch.setattr(urllib.request, "HTTPSHandler", Redirects)
    with pytest.raises(OSError, match="unknown url type: http"):
        open_https("https://127.0.0.1/first")
