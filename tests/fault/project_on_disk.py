"""A made-up project on disk, and `dt run` on it as a user runs it: a process, its exit code, its JSON report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Told:
    """What `dt run` told: the exit code, its output and the JSON report."""

    code: int
    output: str
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def outcomes(self) -> dict[str, str]:
        tests = [test["id"] for test in self.report["tests"]]
        assert not [id for id, count in Counter(tests).items() if count > 1], "a test was counted twice"
        return {test["id"]: test["outcome"] for test in self.report["tests"]}

    def of(self, id: str) -> dict[str, Any]:
        return next(test for test in self.report["tests"] if test["id"] == id)

    def detail(self, id: str) -> str:
        return str(self.of(id)["attempts"][-1]["detail"])


class Project:
    """Files in a folder of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider\n")

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return path

    def start(self, *options: str, **environ: str) -> subprocess.Popen[str]:
        out = self.root.parent / "reports"
        command = [sys.executable, "-m", "dt_action", "run", "--workers", "2", "--output-dir", str(out), *options]
        return subprocess.Popen(
            command,
            cwd=self.root,
            env={**os.environ, "CI": "", "GITHUB_ACTIONS": "", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def told(self, process: subprocess.Popen[str]) -> Told:
        try:
            output, _ = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        reports = sorted((self.root.parent / "reports").glob("test_report*.json"))
        report = json.loads(reports[-1].read_text(encoding="utf-8")) if reports else {}
        return Told(code=process.returncode, output=output, report=report)

    def run(self, *options: str, **environ: str) -> Told:
        return self.told(self.start(*options, **environ))


def processes_marked(word: str) -> list[int]:
    """The living processes whose command line has the word."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if word.encode() in line and state != "Z" and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def wait_until(condition: Any, limit_s: float = 120.0) -> None:
    """Poll a condition; the limit is only there to end a test that would fail."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
