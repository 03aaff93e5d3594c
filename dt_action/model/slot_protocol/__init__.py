"""
What a slot's process tells and is told: every message between the runner and the engine, and the one parser of them.

A message is one JSON object in a line. `e` names what is told, `op` what is commanded. The runner, which lives in the
tests' own interpreter and knows no class of ours, is the other end (dt_action/runner/slot.py, controller.py).

A test runs in the process that tells all this and can write whatever it likes into the line. So nothing is believed
before `parse_line` (from a process) or `parse_relayed` (from a host on another machine) has read it. Fields that are
not known are ignored, so that a newer runner can tell more; messages that are not known are nonsense, and what is
nonsense comes back as `Garbled`, which the engine holds against the test that was running.

A new field is a field of a class here, and the line of the runner that fills it. So is a new message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast, get_args

from dt_action.errors import UnreadableError
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.slot_protocol.commands import (
    Assign,
    Avoid,
    Begin,
    Command,
    ConfigureNode,
    Counted,
    Drop,
    Files,
    Grant,
    Interrupt,
    NodeDown,
    NodeReady,
    Recall,
    ReplayCase,
    ReplayCollect,
    ReplayCrash,
    ReplayProperty,
    ReplayWarning,
    Rest,
    Stop,
    ToController,
    Unit,
)
from dt_action.model.slot_protocol.fields import MAX_TEXT, Count, Name, Seconds, Text
from dt_action.model.slot_protocol.messages import (
    Alone,
    Artifact,
    Collected,
    Collecting,
    Collection,
    Configured,
    Died,
    Exit,
    Exited,
    FileSkipped,
    Finished,
    Forkable,
    Forked,
    Found,
    FromProcess,
    Garbled,
    Importing,
    Interrupted,
    Log,
    Message,
    NeedsController,
    NodeConfigured,
    Output,
    Printed,
    Ready,
    SessionEnded,
    SettingUp,
    Spent,
    Started,
    SuiteProperty,
    Uncollectable,
    Want,
    Warned,
    Working,
)

__all__ = [
    "CONTROLLER",
    "MAX_LINE_BYTES",
    "MAX_TEXT",
    "Alone",
    "Artifact",
    "Assign",
    "Avoid",
    "Begin",
    "Collected",
    "Collecting",
    "Collection",
    "Command",
    "ConfigureNode",
    "Configured",
    "Count",
    "Counted",
    "Died",
    "Drop",
    "Exit",
    "Exited",
    "FileSkipped",
    "Files",
    "Finished",
    "Forkable",
    "Forked",
    "Found",
    "FromProcess",
    "Garbled",
    "Grant",
    "Importing",
    "Interrupt",
    "Interrupted",
    "Log",
    "Message",
    "Name",
    "NeedsController",
    "NodeConfigured",
    "NodeDown",
    "NodeReady",
    "Output",
    "Printed",
    "Ready",
    "Recall",
    "ReplayCase",
    "ReplayCollect",
    "ReplayCrash",
    "ReplayProperty",
    "ReplayWarning",
    "Rest",
    "Seconds",
    "SessionEnded",
    "SettingUp",
    "Spent",
    "Started",
    "Stop",
    "SuiteProperty",
    "Text",
    "ToController",
    "Uncollectable",
    "Unit",
    "Want",
    "Warned",
    "Working",
    "command_to_jsonable",
    "message_to_jsonable",
    "parse_command",
    "parse_line",
    "parse_relayed",
    "slot_name",
]

MAX_LINE_BYTES = 64 << 20
"""A line longer than this is no message: the largest ones name every case of a file, or every file of a project."""

CONTROLLER = "controller"
"""The name under which the controller session's process stands among the slots of a host."""


def slot_name(number: int) -> str:
    """`gw0`, `gw1`, ...: what pytest-xdist calls its workers, since plugins make database names of it."""
    return f"gw{number}"


_FROM_PROCESS: Mapping[str, Any] = {kind.word: kind for kind in get_args(FromProcess) if kind is not Garbled}
_RELAYED: Mapping[str, Any] = {kind.word: kind for kind in get_args(Message)}
_COMMANDS: Mapping[str, Any] = {kind.word: kind for kind in get_args(Command)}


def parse_line(line: bytes | bytearray) -> FromProcess:
    """The message in a line that a slot's process wrote, or `Garbled` with what is wrong with it."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return Garbled(what=f"expected a message in JSON, found {_excerpt(line.decode('utf-8', 'replace'))}")
    return cast("FromProcess", _read(value, _FROM_PROCESS))


def parse_relayed(value: Any) -> Message:
    """The message in a JSON value that another host passed on, or tells itself; or `Garbled`."""
    return _read(value, _RELAYED)


def message_to_jsonable(message: Message) -> dict[str, Any]:
    """A message as it is passed on to another machine, or kept."""
    return {"e": message.word, **to_jsonable(message)}


def _read(value: Any, kinds: Mapping[str, Any]) -> Message:
    word = value.get("e") if isinstance(value, dict) else None
    kind = kinds.get(word) if isinstance(word, str) else None
    if kind is None:
        return Garbled(what=f"expected one of the messages {', '.join(kinds)}, found {_excerpt(value)}")
    try:
        return cast("Message", from_jsonable(kind, value, source=f"the message {word!r}"))
    except UnreadableError as error:
        return Garbled(what=error.message)


def _excerpt(value: object) -> str:
    """The beginning of something that could be anything, on one line."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def command_to_jsonable(command: Command | ToController) -> dict[str, Any]:
    """A command as a slot's process, or the controller session's, is sent it."""
    return {"op": command.word, **to_jsonable(command)}


def parse_command(value: Any) -> Command:
    """The command in a JSON value. Raises UnreadableError."""
    word = value.get("op") if isinstance(value, dict) else None
    kind = _COMMANDS.get(word) if isinstance(word, str) else None
    if kind is None:
        raise UnreadableError(f"expected one of the commands {', '.join(_COMMANDS)}, found {_excerpt(value)}")
    return cast("Command", from_jsonable(kind, value, source=f"the command {word!r}"))
