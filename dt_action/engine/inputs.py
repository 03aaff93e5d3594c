"""All that can happen to a run from outside, as values: what is put into its state, kept, and put in again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeAlias, cast

from dt_action.errors import UnreadableError
from dt_action.model.hardware import Capability
from dt_action.model.holding import Holding
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.slot_protocol import (
    FileSkipped,
    Finished,
    Message,
    Uncollectable,
    Warned,
    message_to_jsonable,
    parse_relayed,
)

EndedEarly: TypeAlias = Literal["cancelled", "timeout", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A machine with `slots` places takes part, or has changed."""

    word: ClassVar[str] = "join"

    worker: str
    capability: Capability
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """A machine is gone for good, and its slots with it."""

    word: ClassVar[str] = "leave"

    worker: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A worker has a place for one more slot of the run: its process is to be started."""

    word: ClassVar[str] = "open"

    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hear:
    """A slot's process told something, or its host told something of it. `at` is Unix time in seconds."""

    word: ClassVar[str] = "hear"

    slot: str
    messages: tuple[Message, ...]
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The slot is to go as soon as it has nothing in hand: somebody else has more need of its place."""

    word: ClassVar[str] = "release"

    slot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """
    What tests of other runs have for themselves now: names, and what is `lent` of each worker, by its name.

    It is all of it, in place of what was told before.
    """

    word: ClassVar[str] = "reserve"

    names: frozenset[str]
    lent: Mapping[str, Holding] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time passed."""

    word: ClassVar[str] = "tick"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """The run is to end early."""

    word: ClassVar[str] = "cancel"

    status: EndedEarly
    reason: str


Input: TypeAlias = Join | Leave | Open | Hear | Release | Reserve | Tick | Cancel

_KINDS: Mapping[str, Any] = {kind.word: kind for kind in (Join, Leave, Open, Release, Reserve, Tick, Cancel)}


def input_to_jsonable(what: Input) -> dict[str, Any]:
    """
    An input as it is kept.

    Left out is the text of results, on which no decision depends: it stands in the events. But by the message of a
    skip the state sees whether another machine would have run the test.
    """
    if isinstance(what, Hear):
        messages = [message_to_jsonable(_without_text(message)) for message in what.messages]
        return {"do": what.word, "slot": what.slot, "at": what.at, "messages": messages}
    return {"do": what.word, **to_jsonable(what)}


def input_from_jsonable(value: Any, *, source: str) -> Input:
    """The input that was kept. Raises UnreadableError."""
    word = value.get("do") if isinstance(value, dict) else None
    if word == Hear.word:
        told = from_jsonable(_Hear, value, source=source)
        return Hear(slot=told.slot, at=told.at, messages=tuple(map(parse_relayed, told.messages)))
    kind = _KINDS.get(word) if isinstance(word, str) else None
    if kind is None:
        raise UnreadableError(f"{source}: expected one of {', '.join((*_KINDS, Hear.word))}, found {word!r}")
    return cast("Input", from_jsonable(kind, value, source=source))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hear:
    slot: str
    at: float
    messages: tuple[Any, ...]


def _without_text(message: Message) -> Message:
    match message:
        case Finished():
            kept = message.message if message.outcome == "skipped" else ""
            if message.message != kept or message.detail or message.stdout or message.stderr or message.reports:
                return replace(message, message=kept, detail="", stdout="", stderr="", reports=())
        case Uncollectable():
            return replace(message, message="", detail="", report="")
        case FileSkipped():
            return replace(message, report="")
        case Warned():
            return replace(message, full="")
    return message
