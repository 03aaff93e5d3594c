"""Real coordinators, workers and runs, as processes of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
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


COMMAND_S = 120.0
"""No command takes so long; one that hangs fails its test, and not the whole run."""


def wait_until(condition: Any, *, within_s: float = 120.0, what: str = "it") -> None:
    """Wait for something that another process does. The limit is for what hangs: a busy machine takes its time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {within_s:g} s")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes] | None) -> int:
    """Have a process end, however it takes that."""
    if process is None:
        return 0
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


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
        _end(self.process)

    def key(self, *options: str) -> str:
        return self._made("key", "create", "--name", "test", *options)

    def token(self, *options: str) -> str:
        return self._made("enrol", *options)

    def _made(self, *words: str) -> str:
        """The credential that a command prints; done here, since a process for each is a second of processor time."""
        from dt_action.cli.coordinator import main

        printed, umask = io.StringIO(), os.umask(0o077)
        try:
            with contextlib.redirect_stdout(printed):
                main([*words, *self._where()], os.environ)
        finally:
            os.umask(umask)
        return printed.getvalue().strip()

    def _where(self) -> list[str]:
        return ["--data", str(self.data), *(["--database", self.database] if self.database else [])]

    def words(self, *words: str) -> str:
        """What a command of this coordinator prints."""
        count = 3 if words[1] == "key" else 2
        command = [*DT, *words[:count], *self._where(), *words[count:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        assert done.returncode == 0, done.stderr
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
        return _end(self.process)


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
