"""stdout as the log of a CI job: folded where the service can, and deaf to commands in what tests print."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol


class JobLog(Protocol):
    """Wraps a run. Lines that the service is to obey go through `command`; everything else is only shown."""

    def __enter__(self) -> JobLog:
        """Begin the part that shows progress."""

    def __exit__(self, *_: object) -> None:
        """Let later steps be heard again, whatever happened."""

    def command(self, line: str) -> None:
        """Write a line that the service obeys."""

    def warn(self, text: str) -> None:
        """Tell a person that something is not as asked for."""

    def end_progress(self) -> None:
        """What follows is what a person came for."""


class Plain:
    """A log without commands: a terminal, GitLab, Jenkins. `warn_line` puts a line on stderr."""

    def __init__(self, say: Callable[[str], None], warn_line: Callable[[str], None]) -> None:
        self._say = say
        self._warn_line = warn_line

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def command(self, line: str) -> None:
        """Write the line as it is."""
        self._say(line)

    def warn(self, text: str) -> None:
        """Say it on stderr."""
        self._warn_line(f"warning: {text}")

    def end_progress(self) -> None:
        """Nothing is folded."""


class GitHubLog:
    """
    The log of a step on GitHub: masks first, progress folded, commands heard only where they are ours.

    Between `stop-commands` and its token the runner takes no line for a command, whoever prints it.
    """

    def __init__(self, say: Callable[[str], None], secrets_: Iterable[str], token: str = "") -> None:
        self._say = say
        self._secrets = tuple(secrets_)
        self._token = token or f"dt-{secrets.token_hex(16)}"
        self._is_folded = False

    def __enter__(self) -> GitHubLog:
        from dt_action.providers.github_commands import command, mask_commands

        for line in mask_commands(self._secrets):
            self._say(line)
        self._say(command("group", "Distributed Testing: progress"))
        self._is_folded = True
        self._say(command("stop-commands", self._token))
        return self

    def __exit__(self, *_: object) -> None:
        self.end_progress()
        self._say(f"::{self._token}::")

    def command(self, line: str) -> None:
        """Let the runner hear this one line."""
        self._say(f"::{self._token}::")
        self._say(line)
        self._say(f"::stop-commands::{self._token}")

    def warn(self, text: str) -> None:
        """Show it as a warning of the step."""
        from dt_action.providers.github_commands import command

        self.command(command("warning", text, title="Distributed Testing"))

    def end_progress(self) -> None:
        """Unfold from here."""
        if self._is_folded:
            self._is_folded = False
            self.command("::endgroup::")


def job_log(
    environ: Mapping[str, str], secrets_: Iterable[str], *, say: Callable[[str], None], warn_line: Callable[[str], None]
) -> JobLog:
    """The log that this job has."""
    return GitHubLog(say, secrets_) if environ.get("GITHUB_ACTIONS") == "true" else Plain(say, warn_line)
