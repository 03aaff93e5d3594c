"""What a slot's process, or that of the controller session, is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from dt_action.model.plan import Portion
from dt_action.model.slot_protocol.fields import Count, Name, Text
from dt_action.model.slot_protocol.messages import Warned


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """
    The smallest piece that a slot is handed: a file, a portion of it, or some of its cases by id.

    `cases` is empty for a whole file, whose cases are not known before a slot collects it. Of those, the slot leaves
    out what its worker cannot run and reports it as withheld: the cases that `withheld` names, or, where `only` is
    not empty, all that `only` does not name. Both are keys of `FileNeeds.cases`. `type` is the file's test type, where
    the run has tests of several. `tried` tells how often cases were tried before, where they were.
    """

    file: Name
    cases: tuple[Name, ...] = ()
    withheld: tuple[Name, ...] = ()
    only: tuple[Name, ...] = ()
    portion: Portion | None = None
    type: Text = ""
    tried: Mapping[str, Count] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Take these units, with credit to start `credit` cases."""

    word: ClassVar[str] = "run"

    units: tuple[Unit, ...]
    credit: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Start `credit` more cases."""

    word: ClassVar[str] = "go"

    credit: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """
    All credit is taken back: the slot's case takes longer than expected, and others wait behind it.

    Should the case end just then, the slot may begin one more that another slot has been given, too: it runs twice,
    and the word of the slot that has it counts.
    """

    word: ClassVar[str] = "recall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """
    Cases, and all there is of files, are taken back. The slot had no credit for them, so it has not started them.

    It may have begun to collect such a file meanwhile: what it then tells of it is nobody's business any more.
    """

    word: ClassVar[str] = "drop"

    cases: tuple[Name, ...] = ()
    files: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Avoid:
    """Do not import these files ahead of their turn: a process died of that."""

    word: ClassVar[str] = "avoid"

    files: tuple[Name, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The test files that were discovered, relative to where the session was started: a part of them is the slot's."""

    word: ClassVar[str] = "files"

    files: tuple[Name, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """
    Go on to configure the session. With `reports`, each case comes with pytest's own reports.

    With `looks_alone`, what the tests start sees no variables of one process among several. The others are what the
    controller session decided: `Configured` and `NodeConfigured`.
    """

    word: ClassVar[str] = "begin"

    reports: bool = True
    looks_alone: bool = False
    workerinput: Any = None
    options: Any = None
    environ: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """There is nothing for the slot now. With `clear`, it should tear down all that it holds: others wait for it."""

    word: ClassVar[str] = "rest"

    clear: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """The run is interrupted: a signal follows. The slot should tear down what it holds, and leave."""

    word: ClassVar[str] = "interrupt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Nothing will follow: the slot should end its session and leave."""

    word: ClassVar[str] = "stop"


# --- what the controller session's process is told --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureNode:
    """A slot is about to begin: ask the plugins what it is given."""

    word: ClassVar[str] = "configure"

    slot: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReady:
    """A slot's session has started."""

    word: ClassVar[str] = "ready"

    slot: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDown:
    """A slot's session has ended, or died of `error`."""

    word: ClassVar[str] = "down"

    slot: Name
    workeroutput: Any = None
    error: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """So many tests are known by now."""

    word: ClassVar[str] = "counted"

    count: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCollect:
    """A file could not be collected, or skipped itself."""

    word: ClassVar[str] = "collect_report"

    report: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCase:
    """A case has its outcome: pytest's reports of its last try."""

    word: ClassVar[str] = "case"

    id: Name
    slot: Text = ""
    reports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCrash:
    """A case has an outcome that pytest did not tell: its process died, or was ended."""

    word: ClassVar[str] = "crash"

    id: Name
    text: Text
    slot: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayWarning:
    """A slot recorded a warning."""

    word: ClassVar[str] = "warning"

    warning: Warned


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayProperty:
    """A slot recorded a property of the whole session."""

    word: ClassVar[str] = "property"

    name: Text
    value: Text


Command: TypeAlias = Assign | Grant | Recall | Drop | Avoid | Files | Begin | Rest | Interrupt | Stop
ToController: TypeAlias = (
    ConfigureNode
    | NodeReady
    | NodeDown
    | Counted
    | ReplayCollect
    | ReplayCase
    | ReplayCrash
    | ReplayWarning
    | ReplayProperty
    | Stop
)
