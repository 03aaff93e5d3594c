"""
A double of GitHub's API over real HTTP: `github_state` behind the official description, with faults on demand.

As a program, for clients in other processes: `python github_double.py --port 0 --state FILE` prints its address, and
writes what it received and what it holds to FILE after every request.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from github_state import CALLERS, RefusalError, Repository
from openapi_contract import Contract, ContractViolationError

Json = Any


@dataclass
class Fault:
    """What the next `times` matching requests are answered; `after_doing` tells that the work is done all the same."""

    method: str
    path: str
    status: int
    message: str = "fault"
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    after_doing: bool = False


@dataclass
class Received:
    """A request as it came in."""

    method: str
    path: str
    body: Json
    at: float
    status: int = 0


@dataclass
class GitHubDouble:
    """One repository behind HTTP. `violations` must be empty at the end of a test."""

    repository: Repository = field(default_factory=Repository)
    contract: Contract = field(default_factory=Contract.load)
    faults: list[Fault] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    url: str = ""
    state_file: Path | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def calls(self, method: str, path: str) -> list[Received]:
        """The requests of a verb whose path holds `path`."""
        return [call for call in self.received if call.method == method and path in call.path]

    def handle(self, method: str, target: str, token: str, raw: bytes) -> tuple[int, dict[str, str], Json]:
        """Answer one request; one at a time, as a database would."""
        with self._lock:
            address = urlsplit(target)
            body = json.loads(raw) if raw else None
            if not _is_utf8(body):
                return 400, {}, {"message": "Problems parsing JSON"}
            call = Received(method, unquote(address.path), body, time.monotonic())
            self.received.append(call)
            status, headers, answer = self._answer(method, address.path, dict(parse_qsl(address.query)), token, body)
            call.status = status
            self._write_state()
            return status, headers, answer

    def _answer(
        self, method: str, path: str, query: dict[str, str], token: str, body: Json
    ) -> tuple[int, dict[str, str], Json]:
        fault = next((f for f in self.faults if f.method == method and re.search(f.path, path)), None)
        if fault is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
            if not fault.after_doing:
                return fault.status, fault.headers, {"message": fault.message}
        try:
            template, values = self.contract.find(method, unquote(path))
            self.contract.check_request(method, template, query, body)
            caller = CALLERS.get(token)
            if caller is None:
                raise RefusalError(401, "Bad credentials")
            operation = self.repository.operations()[method, template]
            status, answer = operation(caller, query=query, body=body, **values)
            if answer is not None:
                answer = self.contract.filled(method, template, status, json.loads(json.dumps(answer)))
            self.contract.check_answer(method, template, status, answer)
        except RefusalError as refusal:
            return refusal.status, refusal.headers, {"message": refusal.message, "documentation_url": ""}
        except ContractViolationError as violation:
            self.violations.append(str(violation))
            return 422, {}, {"message": f"contract: {violation}"}
        if fault is not None:
            return fault.status, fault.headers, {"message": fault.message}
        return status, {}, answer

    def _write_state(self) -> None:
        if self.state_file is None:
            return
        repository = self.repository
        state = {
            "requests": [[call.method, call.path, call.status, call.body] for call in self.received],
            "violations": self.violations,
            "checks": list(repository.checks.values()),
            "annotations": {str(key): value for key, value in repository.annotations.items()},
            "comments": repository.comments,
            "files": {
                ref.removeprefix("heads/"): {
                    path: data.decode("utf-8", "replace")
                    for path, data in repository.files(ref.removeprefix("heads/")).items()
                }
                for ref in repository.refs
                if ref.startswith("heads/")
            },
        }
        self.state_file.write_text(json.dumps(state))


def _is_utf8(body: Json) -> bool:
    """False where a lone surrogate, which Python's JSON writes as any other letter, is in it."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def serving(double: GitHubDouble, host: str = "127.0.0.1", port: int = 0) -> Iterator[GitHubDouble]:
    """The double, answering on `double.url` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            status, headers, body = double.handle(self.command, self.path, token, raw)
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server((host, port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    double.url = f"http://{host}:{server.server_port}"
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args()
    double = GitHubDouble(state_file=options.state)
    with serving(double, options.host, options.port):
        print(double.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
