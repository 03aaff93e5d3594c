"""The command line: which commands there are, and what becomes of an error. A command is loaded when asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from dt_action import __version__
from dt_action.errors import ConfigurationError, DtError, ExitCode, PytestEndedError

COMMANDS = {
    "run": "run the tests",
    "plan": "show what would run, and in which order",
    "report": "merge the reports of many jobs into one, and publish it",
    "failures": "print what failed in a run, and why, in less than 8 kB",
    "flaky": "list the tests that are flaky, the costliest first",
    "quarantine": "propose what to put into the quarantine, and what to take out",
    "badge": "make badges of reports, and commit them on GitHub",
    "explain": "show what tests need, and why",
    "why": "show why a selection takes a test, or leaves it out",
    "config": "show every option's value and where it came from",
    "coordinator": "serve workers and clients, make keys and enrolment tokens",
    "runs": "list a coordinator's runs; show one, get its results, cancel it, run it again",
    "workers": "list a coordinator's workers; drain, resume, remove or readmit one",
    "worker": "run tests that a coordinator hands out",
    "doctor": "check this machine and project for what a run needs",
    "completion": "print what a shell needs to complete commands and options",
}
"""Each is a module of this package with `main(argv, environ) -> int`."""

ACTION_COMMANDS = ("run", "plan", "report")
"""What the GitHub Action can be asked for with its input `command`."""

REPORT_BUGS = "this is a bug in dt; please report it with the lines above and the output of `dt doctor`"


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command and return its exit code (docs/exit-codes.md)."""
    _never_fail_to_print()
    return guarded(lambda: _dispatch(argv, environ), environ)


def guarded(work: Callable[[], int], environ: Mapping[str, str]) -> int:
    """Do the work; turn an error into words on stderr and the documented exit code."""
    try:
        return work()
    except KeyboardInterrupt:
        _tell("interrupted", environ)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stdout = None  # or Python complains while it flushes at exit
        return int(ExitCode.PASSED)
    except Exception as error:
        return tell_error(error, environ)


def tell_error(error: Exception, environ: Mapping[str, str]) -> int:
    """Say on stderr what went wrong, a bug with its traceback; its exit code."""
    if isinstance(error, PytestEndedError) and error.exit_code == 0:
        print(error.message)
        return 0
    if isinstance(error, DtError):
        _tell(f"error: {error}", environ)
        return int(error.exit_code)
    import traceback

    lines = "".join(traceback.format_exception(error))
    _tell(f"{lines}\nerror: {REPORT_BUGS} (dt {__version__})", environ)
    return int(ExitCode.BUG)


def _dispatch(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    words = list(argv)
    if not words and environ.get("GITHUB_ACTIONS") == "true":
        words = [_asked_of_the_action(environ)]
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_overview())
        return int(ExitCode.PASSED)
    if words[0] in {"-V", "--version", "version"}:
        print(f"dt {__version__}")
        return int(ExitCode.PASSED)
    if words[0] not in COMMANDS:
        raise _unknown(words)
    command: Callable[[Sequence[str], Mapping[str, str]], int] = import_module(f"dt_action.cli.{words[0]}").main
    return command(words[1:], environ)


def _asked_of_the_action(environ: Mapping[str, str]) -> str:
    asked = environ.get("INPUT_COMMAND", "").strip() or "run"
    if asked not in ACTION_COMMANDS:
        raise ConfigurationError(f"the input `command` is {asked!r}; expected one of {', '.join(ACTION_COMMANDS)}")
    return asked


def _overview() -> str:
    lines = [
        "Run a Python project's tests across processes and machines that have what each test needs.",
        "",
        "usage: dt COMMAND [OPTION ...]",
        "",
        *(f"  {name:<11} {summary}" for name, summary in COMMANDS.items()),
        "",
        "`dt COMMAND --help` lists a command's options; `dt --version` tells the version.",
    ]
    return "\n".join(lines)


def _unknown(words: Sequence[str]) -> ConfigurationError:
    if words[0].startswith("-"):
        return ConfigurationError(f"expected a command, found {words[0]!r}", hint=f"write dt run {' '.join(words)}")
    from difflib import get_close_matches

    closest = get_close_matches(words[0], COMMANDS, n=1)
    hint = f"did you mean `dt {closest[0]}`?" if closest else "for a directory of tests: dt run --test-dir DIRECTORY"
    return ConfigurationError(f"no command {words[0]!r}; expected one of {', '.join(COMMANDS)}", hint=hint)


def _tell(text: str, environ: Mapping[str, str]) -> None:
    """Write to stderr without the secrets that the environment holds: an exception's text may quote anything."""
    from dt_action.options import OPTIONS

    names = [name for row in OPTIONS if row.secret for name in row.environment]
    for value in filter(None, map(environ.get, names)):
        text = text.replace(value, "***")
    print(text, file=sys.stderr, flush=True)
    if environ.get("GITHUB_ACTIONS") == "true":
        from dt_action.providers.github_commands import command

        print(command("error", text.removeprefix("error: ")[:4000], title="Distributed Testing"), flush=True)


def _never_fail_to_print() -> None:
    """A test's name may hold what the terminal's encoding lacks, above all on Windows."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
