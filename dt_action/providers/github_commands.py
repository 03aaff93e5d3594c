"""
What the GitHub runner reads from a step: workflow commands on stdout, and the files it names in the environment.

The format of commands and of file entries is actions-toolkit's; its `command` and `file_command` modules are imported
alone, since `actions_toolkit.core` would bring requests along on every start.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from actions_toolkit.command import Command  # type: ignore[import-untyped]
from actions_toolkit.file_command import prepare_key_value_message  # type: ignore[import-untyped]

from dt_action.model.report import Annotation

COMMANDS_PER_TYPE = 10
"""The runner keeps ten errors, ten warnings and ten notices of a step (actions/runner, ExecutionContext.cs)."""

MESSAGE_CHARS = 4_000
"""The runner cuts a message at 4,096 characters; some are left for its masking."""

_NAMES = {"failure": "error", "warning": "warning", "notice": "notice"}


def command(name: str, message: str = "", **properties: str | int | None) -> str:
    """One workflow command, escaped, without a line end. A property that is None is left out."""
    return str(Command(name, {key: value for key, value in properties.items() if value is not None}, message))


def annotation_commands(annotations: Sequence[Annotation]) -> list[str]:
    """
    Annotations as workflow commands, which need no token; the order is kept and each type is cut at ten.

    Where some are left out, the tenth of that type says how many.
    """
    counts = Counter(_NAMES[annotation.level] for annotation in annotations)
    seen: Counter[str] = Counter()
    lines = []
    for annotation in annotations:
        name = _NAMES[annotation.level]
        seen[name] += 1
        left_out = counts[name] - COMMANDS_PER_TYPE
        if seen[name] > COMMANDS_PER_TYPE or (left_out > 0 and seen[name] == COMMANDS_PER_TYPE):
            continue
        lines.append(
            command(
                name,
                annotation.message[:MESSAGE_CHARS],
                file=annotation.path or None,
                line=max(annotation.line, 1) if annotation.path else None,
                title=annotation.title[:255] or None,
            )
        )
    lines += [
        command(name, f"{count - COMMANDS_PER_TYPE + 1} more are in the job's summary", title="Not all are shown here")
        for name, count in counts.items()
        if count > COMMANDS_PER_TYPE
    ]
    return lines


def quiet(lines: Iterable[str], token: str) -> list[str]:
    """Lines of hostile text between `stop-commands` and its end, so that none of them is taken for a command."""
    return [command("stop-commands", token), *lines, command(token)]


def mask_commands(secrets: Iterable[str]) -> list[str]:
    """Ask the runner to mask secrets in the log of the whole job; each line of a secret is masked alone, too."""
    wanted = {part.strip() for secret in secrets for part in (secret, *secret.splitlines())}
    return [command("add-mask", secret) for secret in sorted(wanted) if secret]


def append_outputs(path: Path, outputs: Mapping[str, str]) -> None:
    """
    Set outputs of the step: every value between random delimiters, so that no value can set another output.

    Raises OSError; a name that is no plain word is a mistake of ours (ValueError).
    """
    for name in outputs:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
            raise ValueError(f"{name!r} cannot be the name of an output")
    entries = "".join(f"{prepare_key_value_message(name, value)}\n" for name, value in outputs.items())
    before = path.read_bytes() if path.exists() else b""  # what the step wrote itself may lack its line end
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(("\n" if before and not before.endswith(b"\n") else "") + entries)
