"""The seams of the program: what `pipeline` asks of a part that has several implementations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dt_action.model.build import Build
from dt_action.model.case import TestFile
from dt_action.model.event import Event
from dt_action.model.hardware import Capability, FileNeeds
from dt_action.model.holding import Visible
from dt_action.model.plan import Plan
from dt_action.model.report import Publication
from dt_action.model.run import Run
from dt_action.model.slot_protocol import Command, Message, ToController


class Analyzer(Protocol):
    """Works out what the tests of files need, without importing them."""

    def analyze(self, files: Sequence[TestFile]) -> Mapping[str, FileNeeds]:
        """The needs by path. A file that cannot be read or parsed gets needs of nothing and a finding."""


class Fleet(Protocol):
    """Where tests execute."""

    def execute(self, plan: Plan) -> Iterator[Event]:
        """
        Run the plan and tell what happens, as it happens; the last event is `Ended`.

        Closing the iterator cancels the run and leaves no process behind. Raises FleetError where the fleet cannot
        be reached or refuses the plan.
        """


class Renderer(Protocol):
    """Turns a run into a document. Pure: the same run gives the same bytes."""

    format: str
    suffix: str

    def render(self, run: Run) -> bytes:
        """The document, UTF-8."""


class Provider(Protocol):
    """A CI service: it says which build this is, and shows what came of it."""

    name: str

    def build(self) -> Build:
        """The build that the environment describes."""

    def publish(self, run: Run, publication: Publication) -> Sequence[str]:
        """
        Show the run. Idempotent: a second call updates what the first one made.

        Returns what the service refused, in words; never raises for that.
        """


class Past(Protocol):
    """What earlier runs say of a test."""

    def duration_s(self, case: str) -> float | None:
        """The seconds a case is expected to take, or None when it was never seen."""

    def cases_of(self, file: str) -> Mapping[str, float]:
        """The known cases of a file by id, and their seconds."""

    def kept_whole(self) -> Collection[str]:
        """The files whose tests must stay together, as an earlier run found out."""

    def single_fixtures(self) -> Mapping[str, Collection[str]]:
        """The files by the fixtures of theirs that only one process can have at a time, as an earlier run found out."""


class History(Protocol):
    """Remembers runs."""

    def load(self) -> Past:
        """What is known; a missing, corrupt or foreign store is an empty past with a warning, never an error."""

    def record(self, run: Run) -> None:
        """Add a run. Best effort: a store that cannot be written is a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A slot's process told something, or its host tells something of it; `Died` is the last."""

    slot: str
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    A worker as a host offers it: what it has, and how many slots may run on it at once.

    Told by `poll`, it is a worker that takes part from now on; only hosts of several machines tell this.
    """

    worker: str
    capability: Capability
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A worker is gone, and its slots with it. Only hosts of several machines tell this."""

    worker: str
    reason: str


Happened: TypeAlias = Heard | Place | Left


class Interruption(Protocol):
    """Whether somebody has asked for the early end of a run."""

    @property
    def is_requested(self) -> bool:
        """True once it was asked for."""

    def heeded(self, listener: Callable[[], None] = ...) -> AbstractContextManager[None]:
        """Within, a request is heeded, and `listener` called; outside, it ends whatever is under way."""


class SlotHost(Protocol):
    """Where slots live: processes here, containers, actors of a cluster. Slots are known by name."""

    @property
    def slots(self) -> Sequence[str]:
        """The slots whose process lives, those that are starting included."""

    def start(self, slot: str, worker: str, *, is_plain: bool = False, visible: Visible | None = None) -> None:
        """
        Start a slot on a worker, as one of several or (`is_plain`) as plain pytest's only process.

        It sees the devices that are `visible`; all that are there, where nothing was said. Where a worker's
        capability is for each slot, its host sees to what that means.

        Raises a DtError where that can never work.
        """

    def send(self, slot: str, command: Command | ToController) -> None:
        """Send a command to a slot. One that has died meanwhile is heard of by `poll`."""

    def poll(self, timeout_s: float) -> Iterable[Happened]:
        """What happened, waiting at most `timeout_s` for something; a death comes after all that the slot told."""

    def output_bytes(self, slot: str) -> int:
        """A number that grows with each thing that the slot prints."""

    def has_program(self, slot: str) -> bool:
        """True where a program runs that the slot's process has started; False also where nobody can tell."""

    def kill(self, slot: str, *, show_where: bool = False) -> None:
        """End a slot's process and all that it started; `poll` tells of the death."""

    def close(self, *, grace_s: float = 0.0) -> None:
        """End everything, waiting `grace_s` for slots that were told to stop."""
