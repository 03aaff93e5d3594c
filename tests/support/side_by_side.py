"""A small project run by pytest and by `dt run`, side by side: what each told, and what of it differs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Side = Literal["pytest", "pytest -n 2"]

NEWEST_PYTEST = "9.2.0"
SUITE_FILE = "suite.toml"
LOOK_FILE = "look.py"
CACHE = Path.home() / ".cache" / "dt-plugins"

_UNTOLD = frozenset({"__pycache__", ".pytest_cache", ".dt_cache", "test_reports", ".mypy_cache", ".ruff_cache"})
_RECORDER = '''
"""Writes {node id: outcome} of a session of pytest to the file that $OUTCOMES names."""
import json, os

outcomes = {}
groups = []  # with --dist loadgroup pytest-xdist adds "@" and the group to ids
PID = os.getpid()
PATH = os.environ["OUTCOMES"]

def pytest_configure(config):
    if getattr(config.option, "dist", "") == "loadgroup": groups.append("@")

def pytest_runtest_logreport(report):
    id = report.nodeid.rpartition("@")[0] if groups and "@" in report.nodeid.rpartition("]")[2] else report.nodeid
    if hasattr(report, "wasxfail"): word = "xpassed" if report.passed else "xfailed"
    elif report.failed: word = "failed" if report.when == "call" else "error"
    elif report.skipped: word = "skipped"
    elif report.when == "call" and report.passed: word = "passed"
    else: return
    if outcomes.get(id) not in ("failed", "error"): outcomes[id] = word

def pytest_collectreport(report):
    if report.failed: outcomes[report.nodeid] = "error"

def pytest_sessionfinish():
    if os.getpid() == PID and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(PATH, "w") as file: json.dump(outcomes, file)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """
    A project and how it is to be run.

    Its files lie in `folder`, or are `files`: text by path. `install` are the packages of its environment beside
    pytest, `args` go to pytest on both sides, `dt` to `dt run` alone. `like` is what dt is compared with: plain pytest,
    or `pytest -n 2` where the plugin's own design differs there. `shows` are texts that both print. A `look.py` beside
    its files, run after the tests, prints what is to be equal of the artefacts. `before` runs first; the whole is
    repeated `runs` times.
    """

    name: str
    folder: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    install: Sequence[str] = ()
    pytest: str = NEWEST_PYTEST
    args: Sequence[str] = ()
    plain_args: Sequence[str] = ()
    dt: Sequence[str] = ()
    like: Side = "pytest"
    shows: Sequence[str] = ()
    before: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Sequence[str] = ()
    runs: int = 1
    workers: int = 2
    timeout_s: float = 240.0
    note: str = ""
    in_ci: bool = False
    is_long: bool = False
    as_script: bool = False
    ignores: Sequence[str] = ()

    @classmethod
    def read(cls, path: Path) -> Suite:
        """The suite that a folder holds, or that one file tells as a whole."""
        if path.is_dir():
            return cls(name=path.name, folder=path, **tomllib.loads((path / SUITE_FILE).read_text("utf-8")))
        return cls(name=path.stem, **tomllib.loads(path.read_text("utf-8")))

    @property
    def look(self) -> str:
        """The program that prints what is to be equal of the artefacts; empty for none."""
        if self.folder is None:
            return self.files.get(LOOK_FILE, "")
        file = self.folder / LOOK_FILE
        return file.read_text("utf-8") if file.exists() else ""

    @property
    def missing(self) -> str:
        """A program that the suite needs and this machine lacks; empty for none."""
        return next((program for program in self.needs if shutil.which(program) is None), "")


def suites_in(folder: Path) -> list[Suite]:
    """Every suite in `folder`, by name."""
    found = [*(path.parent for path in folder.glob(f"*/{SUITE_FILE}")), *folder.glob("*.toml")]
    return [Suite.read(path) for path in sorted(found)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one side told: exit code, node ids with outcomes, files it made, what `look.py` saw, and its output."""

    code: int | None
    outcomes: Mapping[str, str]
    files: Sequence[str]
    seen: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Both sides of a suite, and the lines that say what differs."""

    wanted: Told
    found: Told
    differences: Sequence[str]


def environment_of(packages: Sequence[str], cache: Path = CACHE) -> Path:
    """The interpreter of an environment with these packages and nothing else, made once and kept in `cache`."""
    wanted = sorted(packages)
    named = hashlib.sha256("\n".join([*wanted, sys.version]).encode()).hexdigest()[:16]
    python = cache / named / "bin" / "python"
    stamp = cache / named / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{named}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that want the same one run side by side
        if not stamp.exists():
            shutil.rmtree(cache / named, ignore_errors=True)
            _make_environment(cache / named, python, wanted)
            stamp.touch()
    return python


def _make_environment(folder: Path, python: Path, packages: Sequence[str]) -> None:
    uv = shutil.which("uv")
    if uv is not None:
        subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", str(python), *packages], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)


def packages_of(suite: Suite) -> list[str]:
    """What is installed for a suite by itself."""
    xdist = ["pytest-xdist"] if suite.like == "pytest -n 2" else []
    return [f"pytest=={suite.pytest}", *xdist, *suite.install]


def compare(suite: Suite, *, python: Path, dt: Sequence[str], scratch: Path) -> Comparison:
    """Run both sides of `suite` in copies of its folder below `scratch`."""
    (scratch / "recorder").mkdir(parents=True, exist_ok=True)
    (scratch / "recorder" / "dt_outcome_recorder.py").write_text(_RECORDER)
    wanted = _by_pytest(suite, python, scratch)
    found = _by_dt(suite, python, dt, scratch)
    return Comparison(wanted=wanted, found=found, differences=_differences(suite, wanted, found))


def _differences(suite: Suite, wanted: Told, found: Told) -> list[str]:
    lines = []
    if wanted.code != found.code:
        lines.append(f"exit code: {wanted.code} / {found.code}")
    for id in sorted({*wanted.outcomes, *found.outcomes}):
        one, other = wanted.outcomes.get(id, "-"), found.outcomes.get(id, "-")
        if one != other and (one, other) != ("error", "crashed"):  # pytest-xdist's report of a crash names no phase
            lines.append(f"{id!a}: {one} / {other}")
    if wanted.files != found.files:
        less, more = set(wanted.files) - set(found.files), set(found.files) - set(wanted.files)
        lines.append(f"files: {sorted(less)} are missing, {sorted(more)} are new")
    if wanted.seen != found.seen:
        lines.append(f"artefacts:\n{wanted.seen}\n---\n{found.seen}")
    for text in suite.shows:
        lines += [
            f"{text!r} is not shown by {name}"
            for name, side in (("pytest", wanted), ("dt", found))
            if text not in side.text
        ]
    return lines


def _by_pytest(suite: Suite, python: Path, scratch: Path) -> Told:
    root, env = _copy(suite, python, scratch / "pytest")
    record = scratch / "outcomes.json"
    paths = [str(scratch / "recorder"), *filter(None, [env.get("PYTHONPATH")])]
    own = {**env, "OUTCOMES": str(record), "PYTHONPATH": os.pathsep.join(paths)}
    start = [str(python.parent / "pytest")] if suite.as_script else [str(python), "-m", "pytest"]
    many = ["-n", "2"] if suite.like == "pytest -n 2" else []
    command = [*start, "-p", "dt_outcome_recorder", *many, *suite.args, *suite.plain_args]

    def outcomes() -> Mapping[str, str]:
        return _json(record) if record.exists() else {}

    return _told(suite, root, command, own, python, outcomes)


def _by_dt(suite: Suite, python: Path, dt: Sequence[str], scratch: Path) -> Told:
    root, env = _copy(suite, python, scratch / "dt")
    reports = scratch / "reports"
    command = [*dt, "run", "--python", str(python), "--workers", str(suite.workers), "--output-dir", str(reports)]
    command += ["--report-formats", "json", *suite.dt]
    if suite.as_script:
        command += ["--import-path", "script"]
    if suite.args:
        command += ["--", *suite.args]

    def outcomes() -> Mapping[str, str]:
        found = sorted(reports.glob("*.json"))
        return {test["id"]: test["outcome"] for test in _json(found[-1])["tests"]} if found else {}

    return _told(suite, root, command, env, python, outcomes, reports)


def _copy(suite: Suite, python: Path, top: Path) -> tuple[Path, dict[str, str]]:
    """A fresh copy of the project, and the variables with which it runs: none that this process has for itself."""
    root = top / "project"
    if suite.folder is not None:
        left_out = shutil.ignore_patterns(SUITE_FILE, LOOK_FILE, "__pycache__")
        shutil.copytree(suite.folder, root, symlinks=True, ignore=left_out)
    for name, text in suite.files.items():
        if name != LOOK_FILE:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, "utf-8")
    ours = ("PYTEST", "DT_", "GITHUB", "GITLAB", "CI", "COV_", "COVERAGE", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    env["PATH"] = os.pathsep.join([str(python.parent), env.get("PATH", "")])
    env["PROJECT_PYTHON"] = str(python)
    env.update({name: value.replace("{root}", str(root)) for name, value in suite.environment.items()})
    for command in suite.before:
        subprocess.run(["bash", "-c", command], cwd=root, env=env, check=True, capture_output=True)
    return root, env


def _told(
    suite: Suite,
    root: Path,
    command: Sequence[str],
    env: Mapping[str, str],
    python: Path,
    outcomes: Any,
    cleared: Path | None = None,
) -> Told:
    before = _files(root)
    text, code = "", None
    for _ in range(suite.runs):
        if cleared is not None:
            shutil.rmtree(cleared, ignore_errors=True)
        said, code = _execute(command, root, env, suite.timeout_s)
        text += said
    seen = ""
    if suite.look:
        looked = subprocess.run(
            [str(python), "-c", suite.look], cwd=root, env=env, capture_output=True, text=True, check=False
        )
        seen = (looked.stdout + looked.stderr).strip()
    made = sorted(name for name in _files(root) - before if not any(Path(name).match(glob) for glob in suite.ignores))
    return Told(code=code, outcomes=outcomes(), files=made, seen=seen, text=text)


def _execute(command: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float) -> tuple[str, int | None]:
    """The output and the exit code; None where it took too long, and was ended with all that it started."""
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        return process.communicate(timeout=timeout_s)[0].decode("utf-8", "replace"), process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0].decode("utf-8", "replace"), None


def _files(root: Path) -> set[str]:
    found = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _UNTOLD]
        found |= {(Path(folder) / name).relative_to(root).as_posix() for name in names}
    return found


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def counted(outcomes: Mapping[str, str]) -> str:
    """Outcomes as pytest's last line has them: `2 failed, 5 passed`."""
    return ", ".join(f"{number} {word}" for word, number in sorted(Counter(outcomes.values()).items()))
