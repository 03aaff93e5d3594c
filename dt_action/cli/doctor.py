"""`dt doctor`: whether this machine and project have what a run needs, and what to do where they don't."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dt_action import __version__
from dt_action.app.readings import collection_arguments
from dt_action.app.tests_environment import tests_python
from dt_action.app.wiring import Wiring
from dt_action.cli.arguments import Parser, settings_from
from dt_action.errors import DtError, ExitCode
from dt_action.options import Settings

LEAST_PYTHON = (3, 9)
LEAST_PYTEST = 7
SESSION_LIMIT_S = 300
RUNNER = Path(__file__).parents[1] / "runner"
ASK = "import sys, pytest; print('%d.%d.%d' % sys.version_info[:3], pytest.__version__)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. Only a `problem` keeps a run from working."""

    level: Literal["ok", "note", "problem"]
    subject: str
    text: str


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print a line for each check; exit code 4 where there is a problem."""
    settings, _ = settings_from(Parser("doctor", "check this machine and project for what a run needs"), argv, environ)
    checks = []
    for look in (_dt, _tests_interpreter, _configuration, _tests, _session, _devices, _git, _directories, _service):
        for check in _carefully(look, settings, environ):
            checks.append(check)
            print(f"{check.level:<8} {check.subject:<14} {check.text}", flush=True)
    problems = sum(check.level == "problem" for check in checks)
    print(f"{problems} problem{'s' * (problems != 1)}")
    return int(ExitCode.CONFIGURATION if problems else ExitCode.PASSED)


Look = Callable[[Settings, Mapping[str, str]], Iterator[Check]]


def _carefully(look: Look, settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    """The checks of a look; what keeps it from looking is a problem, too."""
    try:
        yield from look(settings, environ)
    except DtError as error:
        yield Check(level="problem", subject=look.__name__.strip("_").replace("_", " "), text=str(error))


def _dt(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    text = f"{__version__} on Python {platform.python_version()}, {platform.platform()}, {sys.executable}"
    yield Check(level="ok", subject="dt", text=text)


def _tests_interpreter(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    python = tests_python(settings, environ)
    done = subprocess.run(
        [python, "-c", ASK],
        cwd=settings.root,
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    versions = re.fullmatch(r"(\d+)\.(\d+)\.\d+ (\d+)\S*", done.stdout.strip())
    if not versions:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        hint = f"install it with: {python} -m pip install pytest"
        yield Check(level="problem", subject="tests' python", text=f"{python} cannot import pytest: {said}\n  {hint}")
        return
    found = done.stdout.strip().replace(" ", ", pytest ")
    is_fit = (int(versions[1]), int(versions[2])) >= LEAST_PYTHON and int(versions[3]) >= LEAST_PYTEST
    needed = "" if is_fit else f"; expected Python 3.{LEAST_PYTHON[1]} and pytest {LEAST_PYTEST} or newer"
    yield Check(level="ok" if is_fit else "problem", subject="tests' python", text=f"{python}: Python {found}{needed}")
    active = environ.get("VIRTUAL_ENV", "")
    if active and not settings.python and not python.startswith(active):
        yield Check(
            level="note",
            subject="tests' python",
            text=f"{active} is active, but is not what runs dt; for tests that run in it: --python {active}/bin/python",
        )


def _configuration(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    set_by_hand = sorted(name for name, source in settings.sources.items() if source.rank < 3)
    text = f"{len(set_by_hand)} options are set ({', '.join(set_by_hand)})" if set_by_hand else "all defaults"
    yield Check(level="ok", subject="options", text=f"{text}; `dt config` tells more")


def _tests(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    files = Wiring(settings=settings, environ=environ, listener=lambda _: lambda _: None, say=print).discover()
    level: Literal["ok", "problem"] = "ok" if files else "problem"
    yield Check(
        level=level, subject="test files", text=f"{len(files)} found" if files else "none found; name --test-dir"
    )


def _session(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    """One real session of pytest that collects, and what in it changes how dt runs the tests, and at what cost."""
    with tempfile.TemporaryDirectory(prefix="dt-doctor-") as scratch:
        target = Path(scratch) / "found.json"
        inspect = [tests_python(settings, environ), str(RUNNER / "inspecting.py"), str(target), settings.import_path]
        paths = collection_arguments(settings, settings.test_files)
        try:
            done = subprocess.run(
                [*inspect, *settings.pytest_args, *paths],
                cwd=settings.root,
                env=dict(environ),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SESSION_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            text = f"pytest has not collected the tests within {SESSION_LIMIT_S} s"
            yield Check(level="problem", subject="session", text=text)
            return
        found = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    if not found:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-8:]
        text = "\n  ".join([f"pytest ended with status {done.returncode} while it collected:", *said])
        yield Check(level="problem", subject="session", text=text)
        return
    plugins = ", ".join(found["plugins"]) or "no plugins"
    text = f"{found['tests']} tests in {found['files']} files collected in {found['seconds']:.2g} s, {plugins}"
    yield Check(level="ok", subject="session", text=text)
    yield from _ways(found)


def _ways(found: Mapping[str, Any]) -> Iterator[Check]:
    """The way in which the tests are collected and run, with the reasons."""
    if found["one_process"]:
        text = f"all tests run in one process: {found['one_process']}"
        yield Check(level="note", subject="processes", text=text)
    if found["controller"]:
        text = "a controller session runs beside the slots, which costs a process: " + "; ".join(found["controller"])
        yield Check(level="note", subject="controller", text=text)
    if found["whole"]:
        cost = f"each slot collects all tests ({found['seconds']:.2g} s) before the first one runs"
        yield Check(level="note", subject="collection", text=f"{cost}: " + "; ".join(found["whole"]))
    else:
        text = "each file is collected in its turn: nothing here looks at all tests"
        yield Check(level="ok", subject="collection", text=text)


def _devices(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    from dt_action.probes import this_machine

    here = this_machine(environ)
    devices = ", ".join(f"{device.kind} {device.name}".strip() for device in here.devices) or "no accelerator"
    yield Check(level="ok", subject="devices", text=f"{here.cpu_count} cpus, {devices}")


def _git(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    git = shutil.which("git", path=environ.get("PATH"))
    yield Check(level="ok" if git else "note", subject="git", text=git or "not found; only a coordinator run needs it")


def _directories(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    for subject, directory in (
        ("reports", settings.root / settings.output_dir),
        ("history", (settings.root / settings.history).parent),
    ):
        why = _why_not_writable(directory)
        yield Check(level="problem" if why else "ok", subject=subject, text=why or f"{directory} can be written")


def _why_not_writable(directory: Path) -> str:
    """Why no file can be made in the directory, or in the nearest parent that exists; empty where one can."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    try:
        handle, name = tempfile.mkstemp(dir=existing)
    except OSError as error:
        return f"{directory} cannot be written: {error.strerror}"
    os.close(handle)
    Path(name).unlink()
    return ""


def _service(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    from dt_action import providers

    name = settings.provider or providers.detect(environ)
    yield Check(level="ok", subject="CI service", text=f"{name} ({settings.told_by('provider')})")
