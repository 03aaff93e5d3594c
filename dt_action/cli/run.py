"""`dt run`: run the tests, report, and tell how it went by the exit code."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dt_action import pipeline
from dt_action.app.readings import collection_arguments
from dt_action.app.wiring import Listener, Wiring
from dt_action.cli import tell_error
from dt_action.cli.arguments import Parser, settings_with_pytest
from dt_action.cli.job_log import job_log
from dt_action.cli.ownership import give_back
from dt_action.cli.pytest_words import handed_over
from dt_action.errors import ConfigurationError, ExitCode
from dt_action.model.change import Tolerated
from dt_action.options import Settings, secret_values

if TYPE_CHECKING:
    from dt_action.model.event import Event
    from dt_action.model.run import Run

CODES = {
    "passed": ExitCode.PASSED,
    "failed": ExitCode.FAILED,
    "cancelled": ExitCode.INTERRUPTED,
    "timeout": ExitCode.INCOMPLETE,
    "incomplete": ExitCode.INCOMPLETE,
    "skipped": ExitCode.PASSED,
    "no-tests": ExitCode.NO_TESTS,
}


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the tests that the options ask for."""
    settings, _ = settings_with_pytest(Parser("run", "run the tests"), argv, environ)
    if settings.attach or settings.detach:
        return _away(settings, environ)
    flag = handed_over(_pytest_words(settings, environ))
    return _hand_over(flag, settings, environ) if flag else execute(settings, environ)


def _pytest_words(settings: Settings, environ: Mapping[str, str]) -> Sequence[str]:
    """pytest's options from all places."""
    from dt_action.discovery.pytest_config import read_pytest_config

    named = [settings.root / path.partition("::")[0] for path in (settings.test_dir, *settings.paths) if path]
    return read_pytest_config(settings.root, named, settings.pytest_args, environ).words


def _hand_over(flag: str, settings: Settings, environ: Mapping[str, str]) -> int:
    """
    Let pytest itself have the terminal: it lists, shows or debugs in one process. Its exit code is ours.

    Raises ConfigurationError where the tests are not on this machine.
    """
    import subprocess

    if settings.fleet != "local" or settings.isolation == "container":
        raise ConfigurationError(
            f"{flag} is pytest's own and needs the tests on this machine, in a process",
            hint="leave it out, or use --fleet local and --isolation session",
        )
    wiring = Wiring(settings=settings, environ=environ, listener=lambda _: lambda _: None, say=_say)
    python, variables = wiring.starts.environment()
    paths = collection_arguments(settings, settings.test_files)
    _say(f"{flag} is pytest's own: handing over to it")
    start = ["-m", "pytest"] if settings.import_path == "cwd" else ["-c", "import pytest; pytest.console_main()"]
    return subprocess.call([python, *start, *settings.pytest_args, *paths], cwd=settings.root, env=dict(variables))


def _away(settings: Settings, environ: Mapping[str, str]) -> int:
    """
    A run whose client is not there all the time: begun and left to itself, or followed by another one.

    Raises ConfigurationError where there is no coordinator that it could run on.
    """
    option = "--attach" if settings.attach else "--detach"
    if settings.fleet != "coordinator" or not settings.coordinator:
        raise ConfigurationError(f"{option} is for runs on a coordinator", hint="name it with --coordinator URL")
    if settings.attach and settings.detach:
        raise ConfigurationError("--attach follows a run and --detach leaves one alone; expected one of them")
    if settings.attach:
        return present(settings, environ, lambda wiring: pipeline.followed(wiring.steps(), *wiring.attached()))
    wiring = Wiring(settings=settings, environ=environ, listener=lambda _: lambda _: None, say=_say)
    with wiring.interruption.by_signals(), wiring:
        submitted = wiring.detached(pipeline.planned(wiring.steps()))
    for warning in submitted.warnings:
        _warn(f"warning: {warning}")
    _say(f"run {submitted.run} on {settings.coordinator}")
    _say(f"follow it with: dt run --coordinator {settings.coordinator} --attach {submitted.run}")
    return int(ExitCode.PASSED)


def execute(
    settings: Settings, environ: Mapping[str, str], steps: Callable[[Wiring], pipeline.Steps] = Wiring.steps
) -> int:
    """Run with these settings and say what came of it. `steps` may put other steps in the place of the wiring's."""
    return present(settings, environ, lambda wiring: pipeline.run(steps(wiring)))


def present(settings: Settings, environ: Mapping[str, str], work: Callable[[Wiring], pipeline.Outcome]) -> int:
    """Do the work and say what came of it, in the job's log and by the exit code."""
    secrets = secret_values(settings, environ)
    with job_log(environ, secrets, say=_say, warn_line=_warn) as log:
        wiring = Wiring(
            settings=settings,
            environ=environ,
            listener=lambda files: masked(_progress(files, settings, environ), secrets, tells_all=settings.verbose),
            say=_say,
            command=log.command,
        )
        with wiring.interruption.by_signals(), wiring:
            outcome = work(wiring)
        log.end_progress()
        for refusal in outcome.refusals:
            log.warn(refusal)
        for problem in outcome.publication.problems:
            _warn(f"error: {problem}")
        print(_last_words(outcome.run, environ), end="", flush=True)
    give_back(settings.root, (settings.output_dir, ".dt_cache"), environ)
    was_told = not outcome.publication.problems and not (settings.strict_publishing and outcome.refusals)
    code = exit_code(outcome.run, are_reports_whole=was_told, fail_on=settings.fail_on, is_part=settings.part)
    for trouble in outcome.troubles:
        told = tell_error(trouble, environ)
        code = code if code == ExitCode.FAILED else told
    return int(code)


def exit_code(run: Run, *, are_reports_whole: bool = True, fail_on: str = "failures", is_part: bool = False) -> int:
    """
    What the shell is told. What became of the tests outranks what became of the reports.

    A code that the tests themselves asked for, by `pytest.exit` or a plugin's last hooks, is passed on, as pytest does.

    `fail_on="never"` forgives failed tests; a run that is not whole, or code that is not covered, is never forgiven.
    A selection, or a shard, may well have left nothing to run. A test that no worker of a part could take may have run
    in another part, which only the report of all knows.
    """
    if run.exit_code:
        return run.exit_code
    judged = replace(run, unplaced=()) if is_part else run
    if fail_on == "never":
        failing = (result.id for result in run.results if result.final.is_failing)
        judged = replace(judged, tolerated=tuple(Tolerated(id=id, reason="--fail-on never") for id in failing))
    code = CODES[judged.conclusion()]
    if code is ExitCode.NO_TESTS and (run.selection or run.shard or run.unplaced or run.exit_code == 0):
        code = ExitCode.PASSED
    return ExitCode.PUBLISHING if code is ExitCode.PASSED and not are_reports_whole else code


def masked(listener: Listener, secrets: Sequence[str], *, tells_all: bool = False) -> Listener:
    """
    Tell the listener of every event, with the secrets masked in the words that it may show during the run.

    Without `tells_all` it shows no word of a case that ends well, and most do: those are passed on as they are.
    """
    from dt_action.model.event import CaseFinished, CaseStarted, CaseUnplaced, Notice
    from dt_action.reports.redaction import Redactor

    redactor = Redactor(secrets)

    def listen(event: Event) -> None:
        if isinstance(event, CaseStarted):  # by hand: there are many, and one word of them is shown
            event = replace(event, case=redactor.id(event.case))
        elif isinstance(event, (Notice, CaseUnplaced)) or (
            isinstance(event, CaseFinished) and (tells_all or event.attempt.is_failing)
        ):
            event = redactor.value(event, () if isinstance(event, Notice) else (event.case.id,))
        listener(event)

    return listen


def _progress(files: int, settings: Settings, environ: Mapping[str, str]) -> Listener:
    from dt_action.reports.renderers.colors import wants_color
    from dt_action.reports.renderers.progress import Progress

    is_terminal = sys.stdout.isatty()
    return Progress(
        sys.stdout,
        clock=time.monotonic,
        is_terminal=is_terminal,
        color=wants_color(environ, is_terminal=is_terminal),
        width=shutil.get_terminal_size().columns,
        files=files,
        tells_all=settings.verbose,
    )


def _last_words(run: Run, environ: Mapping[str, str]) -> str:
    from dt_action.reports.renderers.colors import wants_color
    from dt_action.reports.renderers.console import Console

    color = wants_color(environ, is_terminal=sys.stdout.isatty())
    console = Console(color=color, width=shutil.get_terminal_size().columns)
    return console.text(run)


def _say(line: str) -> None:
    print(line, flush=True)


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
