"""A minimal W&B server in memory, enough for the official client to be online."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class FakeWandb(ThreadingHTTPServer):
    """Listens on the loopback.

    Attributes:
        denied: answer every query with 401, as to a wrong key.
        silent: answer nothing.
        runs: by id, what the client told of the run when it began.
        lines: by id, the rows of the history by the offset at which the client put them.
        ended: by id, the exit code.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.denied = self.silent = False
        self.runs: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        self.ended: dict[str, int] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def history(self, run_id: str) -> list[dict[str, Any]]:
        """The rows of a run, in the order of their offsets."""
        return [row for _, row in sorted(self.lines[run_id].items())]

    def die(self) -> None:
        """Close the door; who comes now is refused."""
        self.shutdown()
        self.server_close()

    def fall_silent(self) -> None:
        """Go on taking connections, and never say a word."""
        self.silent = True

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The answer to a GraphQL query."""
        if "upsertBucket" in query:
            name = given.get("name") or given.get("bucketName") or "unknown"
            known = name in self.runs
            self.runs.setdefault(name, {}).update(
                {key: value for key, value in given.items() if value is not None}
            )
            return {"upsertBucket": {"bucket": self._bucket(name), "inserted": not known}}
        if "viewer" in query:
            return {"viewer": {"id": "V", "entity": "me", "username": "me", "flags": "{}"}}
        if re.search(r"\bbucket\(", query):
            name = given.get("name") or given.get("run") or ""
            bucket = self._bucket(name) if name in self.runs else None
            return {"model": {"bucket": bucket}}
        if "createRunFiles" in query:
            return {"createRunFiles": {"runID": "R", "uploadHeaders": [], "files": []}}
        return {}

    def _bucket(self, name: str) -> dict[str, Any]:
        rows = self.history(name)
        return {
            "id": f"R-{name}", "name": name, "displayName": name, "description": "", "config": "{}",
            "sweepName": "", "historyLineCount": len(rows), "eventsLineCount": 0,
            "logLineCount": 0, "summaryMetrics": "{}", "tags": [], "wandbConfig": "{}",
            "historyTail": json.dumps([json.dumps(row) for row in rows[-1:]]),
            "eventsTail": "[]", "project": {
                "id": "P", "name": "p", "entity": {"id": "E", "name": "me"},
            },
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    server: FakeWandb

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if self.server.denied:
            self._send({"errors": [{"message": "user is not logged in"}]}, 401)
        elif self.path.startswith("/graphql"):
            found = self.server.answer(body.get("query", ""), body.get("variables") or {})
            self._send({"data": found})
        elif "/file_stream" in self.path:
            run_id = self.path.split("/")[-2]
            part = body.get("files", {}).get("wandb-history.jsonl")
            if part:
                for number, line in enumerate(part["content"]):
                    self.server.lines[run_id][part["offset"] + number] = json.loads(line)
            if body.get("complete"):
                self.server.ended[run_id] = body.get("exitcode")
            self._send({})
        else:
            self._send({}, 404)

    def do_GET(self) -> None:
        self._send({}, 404)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._send({})

    def _send(self, content: dict[str, Any], status: int = 200) -> None:
        while self.server.silent:
            time.sleep(0.1)
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def fake_wandb() -> Iterator[FakeWandb]:
    """A server that runs inside the block."""
    with FakeWandb() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.silent = False
            server.shutdown()
