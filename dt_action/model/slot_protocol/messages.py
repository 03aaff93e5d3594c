"""What a slot's process tells, or its host of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from dt_action.model.case import Outcome, Property
from dt_action.model.plan import Divided
from dt_action.model.slot_protocol.fields import Count, Name, Seconds, Text


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
    """
    A case is over; the fields are those of `model.case.Attempt`. `reports` are pytest's, as in `Uncollectable`.

    `made_files` tells that it failed, and left new files in the project.
    """

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
    made_files: bool = False


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
    """
    A warning was recorded. `id` is the test's, or empty; `full` is what a controller session needs to tell it.

    `when` is pytest's word: `config`, `collect` or `runtest`.
    """

    word: ClassVar[str] = "warning"

    category: Text
    text: Text
    file: Text
    line: Count = 0
    id: Text = ""
    when: Text = ""
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
    `pytest.exit`, or a plugin in its last hooks, asked for, or that of a session which ended before it had collected.
    `summary` is what plugins printed at the end, `error` the
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
class Working:
    """A program that the process started runs: where the process waits, it is for that."""

    word: ClassVar[str] = "working"


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
Message: TypeAlias = FromProcess | Printed | Working | Log | Died
