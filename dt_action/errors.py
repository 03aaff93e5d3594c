"""The errors a user can meet: one tree, each with its exit code and a hint that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """What `dt` tells the shell. Documented in docs/exit-codes.md; 1 outranks 8."""

    PASSED = 0
    FAILED = 1
    INTERRUPTED = 2
    BUG = 3
    CONFIGURATION = 4
    NO_TESTS = 5
    INCOMPLETE = 6
    FLEET = 7
    PUBLISHING = 8


class DtError(Exception):
    """
    An error with a message for the user: what was expected, what was found, and where.

    `hint` says what to do about it; it is empty when nothing can be done.
    """

    exit_code: int = ExitCode.BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class ConfigurationError(DtError):
    """The options, a configuration file or the project's layout cannot be used as they are."""

    exit_code = ExitCode.CONFIGURATION

    @classmethod
    def of_all(cls, problems: Sequence[ConfigurationError]) -> ConfigurationError:
        """Tell several problems at once, so that a user corrects them in one go."""
        if len(problems) == 1:
            return problems[0]
        return cls(f"{len(problems)} problems:\n" + "\n".join(f"- {problem}" for problem in problems))


class PytestEndedError(DtError):
    """pytest, or what the project told it, ended the session before any test. Its exit code is dt's, 0 as well."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UnreadableError(DtError):
    """A file or message is not what it should be: truncated, foreign, of a newer version, or too large."""

    exit_code = ExitCode.CONFIGURATION


class NoTestsError(DtError):
    """Nothing to run: no test file was found, or none was left by the filters."""

    exit_code = ExitCode.NO_TESTS


class FleetError(DtError):
    """The fleet cannot be reached or refuses to work; no test was lost to it silently."""

    exit_code = ExitCode.FLEET


class PublishingError(DtError):
    """A CI service refused what was published. Only fatal when the user asked for strict publishing."""

    exit_code = ExitCode.PUBLISHING


def no_session(message: str, *, hint: str, exit_code: int | None) -> DtError:
    """Why pytest ran no test at all: it could not be started, or (`exit_code`) it ended by itself before any."""
    if exit_code is None:
        return ConfigurationError(message, hint=hint)
    return PytestEndedError(message, exit_code=exit_code)
