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
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, cast

from dt_action.errors import UnreadableError
from dt_action.model.case import Outcome, Property
from dt_action.model.json_codec import Bound, Cut, from_jsonable, to_jsonable
from dt_action.model.plan import Divided, Portion

MAX_TEXT = 1 << 20
"""So many characters of a text are taken in; ids made of long parameters are names of some thousands."""

MAX_LINE_BYTES = 64 << 20
"""A line longer than this is no message: the largest ones name every case of a file, or every file of a project."""

CONTROLLER = "controller"
"""The name under which the controller session's process stands among the slots of a host."""

Name = Annotated[str, Bound(f"1 to {MAX_TEXT:,} characters", lambda text: 0 < len(text) <= MAX_TEXT)]
Text = Annotated[str, Cut(MAX_TEXT)]
Seconds = Annotated[float, Bound("0 or more seconds", lambda number: number >= 0)]
Count = Annotated[int, Bound("a count from 0", lambda number: 0 <= number < 1 << 53)]


def slot_name(number: int) -> str:
    """`gw0`, `gw1`, ...: what pytest-xdist calls its workers, since plugins make database names of it."""
    return f"gw{number}"


# --- what a slot's process tells --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """
    A case as a slot collected it; `line` counts from 1. `group` names what it must stay together with.

    `fixtures` are those of the session's or a package's scope that it uses, which stay set up in the process.
    """

    id: Name
    line: Count = 0
    group: Text = ""
    marks: tuple[Name, ...] = ()
    fixtures: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """Its plugins or options allow one process only, as plain pytest has it: `reason` says which. It waits."""

    word: ClassVar[str] = "alone"

    reason: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsController:
    """A plugin, conftest or option (`reasons`) would miss a controller session: it waits for `Begin`."""

    word: ClassVar[str] = "needs_controller"

    reasons: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """
    pytest has started and begins to collect. `base` is the way from its rootdir to where it was started, `rootdir` the
    way back. `cache` is where pytest keeps what it remembers, empty where it need not be written for this process.
    `header` is what plugins say at the start, where no controller session tells it.
    """

    word: ClassVar[str] = "ready"

    python: Name
    pytest: Name
    base: Name
    rootdir: Name
    cache: Text = ""
    header: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importing:
    """It imports a test module before it asks for work; without a `file`, it is done with that."""

    word: ClassVar[str] = "importing"

    file: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """
    It has collected, and can take work. `files` is all that pytest would collect, in its order.

    Where `whole` says why all of it had to be collected, `cases` has every test in the order in which pytest would run
    them, but for those of `late` files, whose import ended another process; `digest` is the same for processes that
    found the same. Else the cases of a file are told when it is collected, in its turn.
    """

    word: ClassVar[str] = "collection"

    files: tuple[Name, ...]
    whole: tuple[Text, ...] = ()
    cases: tuple[Found, ...] = ()
    late: tuple[Name, ...] = ()
    digest: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """It can begin nothing more. `seen` is how many commands it has seen: an ask that crosses one is out of date."""

    word: ClassVar[str] = "want"

    seen: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """It begins to collect a file."""

    word: ClassVar[str] = "collecting"

    file: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """
    It knows the cases of a file: those that it will run, and those that its unit withholds from it.

    `divided` tells of a file of which the run has but a portion.
    """

    word: ClassVar[str] = "collected"

    file: Name
    cases: tuple[Found, ...]
    withheld: tuple[Found, ...] = ()
    duration_s: Seconds
    divided: Divided | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncollectable:
    """
    A file, folder or class that cannot be collected; pytest's id of the whole session is empty.

    `report` is pytest's own, as JSON that is not looked into, for the controller session, where there is one.
    """

    word: ClassVar[str] = "uncollectable"

    id: Text
    message: Text
    detail: Text
    report: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSkipped:
    """A file, or a class in it, that skipped itself while it was collected; `report` as in `Uncollectable`."""

    word: ClassVar[str] = "file_skipped"

    file: Text
    reason: Text
    report: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """It begins a case."""

    word: ClassVar[str] = "started"

    id: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A case is over; the fields are those of `model.case.Attempt`. `reports` are pytest's, as in `Uncollectable`."""

    word: ClassVar[str] = "finished"

    id: Name
    outcome: Outcome
    duration_s: Seconds
    started_at: Seconds
    message: Text = ""
    detail: Text = ""
    stdout: Text = ""
    stderr: Text = ""
    properties: tuple[Property, ...] = ()
    reports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingUp:
    """
    It sets up a fixture of the session's or a package's scope (`begun`), has it (`done`), could not have it (`failed`),
    or has it no longer (`over`).
    """

    word: ClassVar[str] = "setting_up"

    fixture: Name
    state: Literal["begun", "done", "failed", "over"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """The fleet interrupted it in this case: `where` is the line of the project that ran, after so many seconds."""

    word: ClassVar[str] = "interrupted"

    id: Name
    where: Text = ""
    duration_s: Seconds = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """
    A piece of a file that the case `id` left, of its try `tries`: `data` in base64, the `first` piece or one more.

    Without an `id` it was left by whatever ran when the process died. `note` says what was left out.
    """

    word: ClassVar[str] = "artifact"

    id: Text = ""
    tries: Count = 0
    name: Text = ""
    data: Text = ""
    first: bool = True
    note: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteProperty:
    """A test or fixture recorded a property of the whole session (`record_testsuite_property`)."""

    word: ClassVar[str] = "property"

    name: Text
    value: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A warning was recorded. `id` is the test's, or empty; `full` is what a controller session needs to tell it."""

    word: ClassVar[str] = "warning"

    category: Text
    text: Text
    file: Text
    line: Count = 0
    id: Text = ""
    full: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """pytest itself says that the whole session is to end (`pytest.exit`, `-x`)."""

    word: ClassVar[str] = "exit"

    reason: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """It tore down what belongs to the whole session, which must not be set up twice in a process: it leaves."""

    word: ClassVar[str] = "spent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What the plugins of its session have for those of the controller session."""

    word: ClassVar[str] = "output"

    workeroutput: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """
    The session ended with pytest's exit status `status`.

    `gate` tells that a plugin or conftest made it so, and not the tests' outcomes. `exit_code` is the one that
    `pytest.exit`, or a plugin in its last hooks, asked for. `summary` is what plugins printed at the end, `error` the
    traceback of what they raised.
    """

    word: ClassVar[str] = "ended"

    status: int
    gate: bool = False
    exit_code: int | None = None
    summary: Text = ""
    error: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """
    The controller session is configured; `options` and `environ` are what a slot is to take over from it.

    `header` is what plugins say at the start.
    """

    word: ClassVar[str] = "configured"

    options: Any = None
    environ: Any = None
    header: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfigured:
    """The controller session's plugins have said what the slot is given."""

    word: ClassVar[str] = "node"

    slot: Name
    workerinput: Any = None


# --- what a process from which slots are forked tells its host --------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Forkable:
    """It has collected everything, and makes slots from now on; or why not, and then it is one. `seen` as in `Want`."""

    word: ClassVar[str] = "forkable"

    reason: Text = ""
    seen: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked:
    """The process `pid` is the slot's."""

    word: ClassVar[str] = "forked"

    slot: Name
    pid: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """The slot's process ended with this exit code, or died of the signal that is its negative."""

    word: ClassVar[str] = "exited"

    slot: Name
    code: int


# --- what a host tells of a slot's process ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbled:
    """The process wrote something into its line that is no message: `what` says what was expected and found."""

    word: ClassVar[str] = "garbled"

    what: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """The process printed something, captured by pytest or not, so it is not silent."""

    word: ClassVar[str] = "printed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What the process printed outside of pytest's capture."""

    word: ClassVar[str] = "log"

    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """
    The process ended: `reason` says how, in words, `log_tail` has the last of what it printed.

    A host tells this after all that the slot told. `how` is `ended` for a process that ended by itself, `taken` where
    something outside ended it (an engine that killed an actor), `unmade` where there was none, since its workspace
    could not be made, and `lost` where its whole worker is gone. `root` is where the tests lay for it, which paths in
    `log_tail` begin with; empty where that is not known.
    """

    word: ClassVar[str] = "died"

    reason: Text
    log_tail: Text = ""
    root: Text = ""
    how: Literal["ended", "taken", "unmade", "lost"] = "ended"


FromProcess: TypeAlias = (
    Alone
    | NeedsController
    | Ready
    | Importing
    | Collection
    | Want
    | Collecting
    | Collected
    | Uncollectable
    | FileSkipped
    | Started
    | Finished
    | SettingUp
    | Interrupted
    | Artifact
    | SuiteProperty
    | Warned
    | Exit
    | Spent
    | Output
    | SessionEnded
    | Configured
    | NodeConfigured
    | Forkable
    | Forked
    | Exited
    | Garbled
)
Message: TypeAlias = FromProcess | Printed | Log | Died

_FROM_PROCESS: Mapping[str, Any] = {
    kind.word: kind
    for kind in (
        Alone,
        NeedsController,
        Ready,
        Importing,
        Collection,
        Want,
        Collecting,
        Collected,
        Uncollectable,
        FileSkipped,
        Started,
        Finished,
        SettingUp,
        Interrupted,
        Artifact,
        SuiteProperty,
        Warned,
        Exit,
        Spent,
        Output,
        SessionEnded,
        Configured,
        NodeConfigured,
        Forkable,
        Forked,
        Exited,
    )
}
_RELAYED: Mapping[str, Any] = {**_FROM_PROCESS, **{kind.word: kind for kind in (Garbled, Printed, Log, Died)}}


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


# --- what a slot's process is told ------------------------------------------------------------------------------------


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

_COMMANDS: Mapping[str, Any] = {
    kind.word: kind for kind in (Assign, Grant, Recall, Drop, Avoid, Files, Begin, Rest, Interrupt, Stop)
}


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
