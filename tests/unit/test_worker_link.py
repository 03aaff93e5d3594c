"""What lies between a worker and its coordinator, and a directory that two workers want."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dt_action.errors import ConfigurationError
from dt_action.remote.link import Link, LinkError
from dt_action.worker.workspaces import Workspaces


@contextmanager
def answering(status: int, body: bytes, kind: str) -> Iterator[str]:
    """A server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "kind", "may_pass"),
    [
        (404, b"<html>nginx: not found</html>", "text/html", True),
        (403, b"blocked", "text/plain", True),
        (404, b"{}", "application/json", True),
        (410, b'{"error": "this lease was given away"}', "application/json", False),
        (422, b'{"error": "expected a nonce"}', "application/json", False),
        (503, b'{"error": "ask again"}', "application/json", True),
    ],
)
def test_a_refusal_that_is_not_the_coordinators_may_pass(status: int, body: bytes, kind: str, may_pass: bool) -> None:
    with answering(status, body, kind) as url:
        link = Link(url)
        with pytest.raises(LinkError) as raised:
            link.post("/leases", {}, dict)
        link.close()
    assert (raised.value.may_pass, raised.value.status) == (may_pass, status)


def test_a_second_worker_in_one_directory_says_so_and_touches_nothing(tmp_path: Path) -> None:
    first = Workspaces(tmp_path, python="python", environ={}, run=lambda *_: "")  # type: ignore[arg-type, return-value]
    tree = tmp_path / "runs" / "a" / "test_a.py"
    tree.parent.mkdir(parents=True)
    tree.touch()
    with pytest.raises(ConfigurationError, match="another worker uses the directory"):
        Workspaces(tmp_path, python="python", environ={}, run=lambda *_: "")  # type: ignore[arg-type, return-value]
    assert tree.exists()
    del first
