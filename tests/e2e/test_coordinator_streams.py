"""Where something on the way holds the stream of events back, or cuts it: the events are asked for page by page."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest
from coordinator_rig import Coordinator, Worker, closing_all, make_project, results_of, start_run

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

Manner = Literal["holds back", "cuts", "refuses"]


class Proxy(ThreadingHTTPServer):
    """Stands before a coordinator, and does to streams of events what some proxies do."""

    daemon_threads = True

    def __init__(self, to_port: int, manner: Manner) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.to_port = to_port
        self.manner: Manner = manner
        self.is_over = threading.Event()
        self.seen: Counter[str] = Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.is_over.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        is_stream = self.headers.get("Accept") == "text/event-stream"
        if "/events" in self.path:
            self.server.seen["streams" if is_stream else "pages"] += 1
        if is_stream:
            self._stream()
        else:
            self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_PUT(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        there = http.client.HTTPConnection("127.0.0.1", self.server.to_port, timeout=60)
        there.request(self.command, self.path, body, dict(self.headers))
        answer = there.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        there.close()

    def _stream(self) -> None:
        if self.server.manner == "holds back":
            self.server.is_over.wait(120)  # it waits for the end of the answer, which is the end of the run
            return
        if self.server.manner == "refuses":
            self.send_error(502)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("manner", ["cuts", pytest.param("holds back", marks=pytest.mark.long), "refuses"])
def test_a_run_whose_stream_does_not_come_through_is_followed_by_asking(tmp_path: Path, manner: Manner):
    coordinator = Coordinator(tmp_path / "c").start()
    ids = make_project(tmp_path / "project", files=4, cases=10, case_s=0.1)
    worker = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "2")).start()
    proxy = Proxy(coordinator.port, manner)
    with closing_all(worker, proxy, coordinator):
        started = time.monotonic()
        run = start_run(tmp_path / "project", proxy.url, coordinator.key(), "--poll-interval", "1s")
        told = run.finish()
        took_s = time.monotonic() - started
        assert told.outcomes == dict.fromkeys(ids, "passed"), told.output[-3000:]
        assert told.code == 0
        assert results_of(coordinator) == dict.fromkeys(ids, 1)
    print(f"{manner}: {dict(proxy.seen)} in {took_s:.1f} s")
    assert proxy.seen["streams"] == 2
    most = took_s + 1 + proxy.seen["streams"]  # a refused stream is followed by a page at once
    assert 1 <= proxy.seen["pages"] <= most, "asked more often than --poll-interval says"
