"""What `pytest --dt` does: dt's slots and plan, with pytest's own terminal output, reports and exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from dt_action import pipeline
from dt_action.app.wiring import Wiring
from dt_action.cli.arguments import Parser, settings_with_pytest
from dt_action.cli.pytest_words import handed_over
from dt_action.errors import ConfigurationError, NoTestsError
from dt_action.model.event import Event, SessionOver
from dt_action.model.run import Run
from dt_action.model.slot_protocol import CONTROLLER
from dt_action.runner.proof import why_one_process

OWN = ("--dt", "-n", "--numprocesses")


def main(config: pytest.Config, environ: Mapping[str, str]) -> int | None:
    """
    Run the tests that pytest was asked for; pytest's exit status. None where only one process can run them.

    Raises ConfigurationError where the project's settings of dt ask for another place than processes of this machine.
    """
    words = [str(word) for word in config.invocation_params.args]
    reason = handed_over(words) or why_one_process(config)
    if reason:
        print(f"dt: one process, as without --dt: {reason}", file=sys.stderr)
        return None
    settings, _ = settings_with_pytest(Parser("run", "run the tests"), _as_dts(config, words), environ)
    if settings.isolation == "container":
        raise ConfigurationError("pytest --dt runs tests in processes, found isolation = container in the settings")
    settings = replace(settings, python=sys.executable, fleet="local", coverage=False)
    wiring = Wiring(
        settings=settings,
        environ=environ,
        listener=lambda _: lambda _: None,
        say=lambda _: None,
        shows_pytest=True,
    )
    if wiring.starts.processes == 1:
        return None
    statuses: list[int] = []
    with wiring.interruption.by_signals(), wiring:
        try:
            plan = pipeline.planned(wiring.steps())
        except NoTestsError:
            return None  # pytest may know of tests that dt does not look for, and has the words for none
        run = wiring.redact(wiring.judge(wiring.collect(plan, _noting(wiring.execute(plan), statuses))))
    for notice in run.notices:
        if notice.level != "info":
            print(f"dt: {notice.level}: {notice.text}", file=sys.stderr)
    return statuses[-1] if statuses else _status(run)


def _as_dts(config: pytest.Config, words: Sequence[str]) -> list[str]:
    """The command line as `dt run` takes it: paths, its own options, and behind `--` what is pytest's."""
    paths = [str(path) for path in config.getoption("file_or_dir", default=None) or ()]
    left = [*paths]
    rest: list[str] = []
    given = iter(words)
    for word in given:
        if word in left:
            left.remove(word)
        elif word in OWN[1:]:
            next(given, None)
        elif word not in OWN and not (word.startswith("-n") and word[2:].isdigit()):
            rest.append(word)
    processes = config.getoption("numprocesses", default=None)
    workers = ["--workers", str(processes)] if isinstance(processes, int) and processes else []
    most = config.getoption("maxfail", default=0)
    return [*paths, *workers, *(["--fail-fast", str(most)] if most else []), "--", *rest]


def _noting(events: Iterator[Event], statuses: list[int]) -> Iterator[Event]:
    """The events, of which the exit status of the controller session is noted."""
    for event in events:
        if isinstance(event, SessionOver) and event.session == CONTROLLER:
            statuses.append(event.status if event.exit_code is None else event.exit_code)
        yield event


def _status(run: Run) -> int:
    """pytest's exit status, where its session said nothing beyond what the outcomes do."""
    codes: dict[Any, pytest.ExitCode] = {
        "passed": pytest.ExitCode.OK,
        "skipped": pytest.ExitCode.OK,
        "cancelled": pytest.ExitCode.INTERRUPTED,
        "no-tests": pytest.ExitCode.NO_TESTS_COLLECTED,
    }
    return int(codes.get(run.conclusion(), pytest.ExitCode.TESTS_FAILED))
