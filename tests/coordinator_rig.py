"""Real coordinators, workers and runs as processes of their own, and a way between them that can be cut."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DT = (sys.executable, "-m", "dt_action")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(condition: Any, *, within_s: float = 30.0, what: str = "it") -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {within_s:g} s")
        time.sleep(0.02)


@dataclass
class Coordinator:
    """A coordinator that may be killed and started again, on the same data and port."""

    data: Path
    options: tuple[str, ...] = ()
    database: str = ""
    port: int = field(default_factory=free_port)
    scheme: str = "http"
    environ: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self) -> Coordinator:
        self.starts += 1
        self.data.mkdir(parents=True, exist_ok=True)
        log = (self.data / "coordinator.log").open("ab")
        command = [*self.prefix, *DT, "coordinator", "--port", str(self.port), *self._where(), *self.options]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **self.environ})
        log.close()
        wait_until(self.is_ready, what="the coordinator's start")
        return self

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.data / "coordinator.log").read_text()[-4000:]
        with contextlib.suppress(OSError, urllib.error.URLError):
            return bool(urllib.request.urlopen(f"{self.url}/readyz", timeout=5).status == 200)
        return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)

    def key(self, *options: str) -> str:
        return self.words("coordinator", "key", "create", "--name", "test", *options)

    def token(self, *options: str) -> str:
        return self.words("coordinator", "enrol", *options)

    def _where(self) -> list[str]:
        return ["--data", str(self.data), *(["--database", self.database] if self.database else [])]

    def words(self, *words: str) -> str:
        """What a command of this coordinator prints."""
        count = 3 if words[1] == "key" else 2
        command = [*DT, *words[:count], *self._where(), *words[count:]]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """From the SQLite database, while it is in use."""
        with contextlib.closing(sqlite3.connect(self.data / "coordinator.db", timeout=30)) as connection:
            return connection.execute(query).fetchall()

    def log(self) -> str:
        return (self.data / "coordinator.log").read_text(errors="replace")


@dataclass
class Worker:
    """A worker's agent."""

    home: Path
    url: str
    token: str
    options: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Worker:
        self.home.mkdir(parents=True, exist_ok=True)
        log = (self.home / "worker.log").open("ab")
        words = ["worker", "--coordinator", self.url, "--data", str(self.home / "data"), *self.options]
        command = [*self.prefix, *DT, *words]
        environ = {**os.environ, "DT_WORKER_TOKEN": self.token, **self.environ}
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
        log.close()
        wait_until(lambda: "enrolled as" in self.log(), what="the worker's enrolment")
        return self

    def log(self) -> str:
        return (self.home / "worker.log").read_text(errors="replace")

    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """As the kernel's OOM killer would; its slots notice that nobody listens."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return int(self.process.returncode)


class Way:
    """A TCP way to a port that can be cut: `cut` lets nothing pass and tells nobody, as a lost network does."""

    def __init__(self, to_port: int) -> None:
        self._to = to_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._is_cut = threading.Event()
        self._is_over = threading.Event()
        self._links: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        self._is_cut.set()

    def heal(self) -> None:
        """New connections pass again; those of before are broken, as after any long outage."""
        self._is_cut.clear()
        for sock in self._links:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._links.clear()

    def close(self) -> None:
        self._is_over.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(here,), daemon=True).start()

    def _carry(self, here: socket.socket) -> None:
        self._links.append(here)
        try:
            there = socket.create_connection(("127.0.0.1", self._to), timeout=5)
        except OSError:
            here.close()
            return
        self._links.append(there)
        with selectors.DefaultSelector() as selector:
            selector.register(here, selectors.EVENT_READ, there)
            selector.register(there, selectors.EVENT_READ, here)
            while not self._is_over.is_set():
                for key, _ in selector.select(0.1):
                    if self._is_cut.is_set():
                        time.sleep(0.05)
                        continue
                    try:
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        key.data.sendall(data)
                    except OSError:
                        data = b""
                    if not data:
                        here.close()
                        there.close()
                        return


@dataclass
class Told:
    """What `dt run` said: its exit code, its output, and the JSON report."""

    code: int
    output: str
    report: dict[str, Any]

    @property
    def outcomes(self) -> dict[str, str]:
        counts = Counter(test["id"] for test in self.report.get("tests", ()))
        assert not [id for id, count in counts.items() if count > 1], "a test was told twice"
        return {test["id"]: test["outcome"] for test in self.report["tests"]}

    @property
    def workers(self) -> dict[str, str]:
        return {test["id"]: test["worker"] for test in self.report["tests"]}


@dataclass
class Run:
    """`dt run --coordinator`, under way."""

    process: subprocess.Popen[str]
    out: Path

    def finish(self, *, within_s: float = 180.0) -> Told:
        output, _ = self.process.communicate(timeout=within_s)
        reports = sorted(self.out.glob("test_report_*.json"))
        report = json.loads(reports[-1].read_text()) if reports else {}
        return Told(self.process.returncode, output, report)


def start_run(project: Path, url: str, key: str, *options: str, prefix: tuple[str, ...] = (), **environ: str) -> Run:
    """Begin `dt run` in `project`; `prefix` stands before the command."""
    out = project.parent / f"reports-{time.monotonic_ns()}"
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("DT_", "GITHUB_", "CI"))}
    process = subprocess.Popen(
        [*prefix, *DT, "run", "--coordinator", url, "--output-dir", str(out), *options],
        cwd=project,
        env={**variables, "COORDINATOR_API_KEY": key, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return Run(process, out)


def make_project(root: Path, *, files: int = 6, cases: int = 20, case_s: float = 0.05, extra: str = "") -> set[str]:
    """A project of tests that take a while; the ids of its cases."""
    (root / "tests").mkdir(parents=True)
    (root / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    ids = set()
    for number in range(files):
        body = f"import time\nimport pytest\n\n@pytest.mark.parametrize('n', range({cases}))\ndef test_it(n):\n"
        (root / "tests" / f"test_f{number}.py").write_text(body + f"    time.sleep({case_s})\n" + extra)
        ids |= {f"tests/test_f{number}.py::test_it[{n}]" for n in range(cases)}
    return ids


def results_of(coordinator: Coordinator) -> Counter[str]:
    """How often each case has a final outcome in the database."""
    return Counter(row[0] for row in coordinator.rows('select "case" from results'))


def results_in(database: str) -> Counter[str]:
    """The same from any database, by its address."""
    import sqlalchemy as sa

    engine = sa.create_engine(database)
    try:
        with engine.connect() as connection:
            return Counter(connection.execute(sa.text('select "case" from results')).scalars())
    finally:
        engine.dispose()


@contextlib.contextmanager
def closing_all(*things: Any) -> Iterator[None]:
    """Stop everything, whatever happens."""
    try:
        yield
    finally:
        for thing in things:
            with contextlib.suppress(Exception):
                thing.stop() if hasattr(thing, "stop") else thing.close()
