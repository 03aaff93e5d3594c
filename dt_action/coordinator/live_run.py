"""A run that is not over: its engine, and what waits for its slots."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dt_action.coordinator.run_store import Kept, SqlStore
from dt_action.coordinator.store import LEASES, Changes
from dt_action.engine import Discard, Kill, Limits, Output, RunState, Send, Start, Tell
from dt_action.engine.engine import Engine
from dt_action.engine.inputs import Input
from dt_action.model.event import CaseFinished, CaseStarted
from dt_action.model.hardware import Capability
from dt_action.model.holding import Visible
from dt_action.model.json_codec import from_jsonable
from dt_action.model.slot_protocol import command_to_jsonable
from dt_action.remote import wire

BATCH_S = 5.0
"""How much work a slot is handed at once: enough to outweigh the way to it."""

WINDOW_S = 0.5
"""How much of it a slot may start without asking: longer than a round trip, and what a partition leaves it to do.

Of tests that nobody has timed yet it is many cases, which no idle slot can take over then; so no more than that.
"""

MISSED_S = 5.0
"""A lease that its worker had, and does not name in its polls for so long, is lost."""

MOST_LOG_BYTES = 256 * 1024
"""So much uncaptured output of one slot is kept."""


@dataclass(slots=True, kw_only=True)
class LiveLease:
    """
    A slot of a run on a worker. `heard` is the last message that was taken in, `commands` what it may not have.

    It `is_plain` where one process runs all tests, and sees the devices that are `visible`. It `was_held` once its
    worker had it: from then on it is never offered again, since what a second process told would be taken for the
    first one's.
    """

    id: str
    run: str
    worker: str
    boot: str
    slot: str
    heard: int = 0
    numbered: int = 0
    logged_bytes: int = 0
    running: str = ""
    since: float = 0.0
    is_leaving: bool = False
    is_plain: bool = False
    visible: Visible | None = None
    was_held: bool = False
    missed_at: float | None = None
    commands: deque[wire.Numbered] = field(default_factory=deque)

    def is_missed(self, is_held: bool, now: float) -> bool:
        """
        Take in whether the worker says that it has the slot; True where it had it, and says so no longer.

        A poll may be under way while the slot begins, so that one word is not enough.
        """
        self.was_held |= is_held or self.heard > 0
        if is_held or not self.was_held:
            self.missed_at = None
        elif self.missed_at is None:
            self.missed_at = now
        return self.missed_at is not None and now - self.missed_at > MISSED_S

    def command(self, message: Mapping[str, Any]) -> None:
        """Let a command wait for its worker."""
        self.numbered += 1
        self.commands.append(wire.Numbered(number=self.numbered, command=message))

    def after(self, seen: int) -> tuple[wire.Numbered, ...]:
        """The commands that follow number `seen`; those up to it are forgotten."""
        while self.commands and self.commands[0].number <= seen:
            self.commands.popleft()
        return tuple(self.commands)


class LiveRun:
    """
    A run in memory. `changed_leases` are the ids of leases for which there are new commands, `discarded` the slots
    that are not wanted any more. `started_on` are the workers on which pytest has started since the coordinator did.

    It can be made again at any time from its row and the record of its inputs, see `engine.Engine`.
    """

    def __init__(self, row: Any, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.id: str = row.id
        self.owner: str = row.owner
        self.repository: str = row.repository
        self.priority: int = row.priority
        self.max_slots: int = row.max_slots
        self.created_at: float = row.created_at
        self.submission = from_jsonable(wire.Submission, json.loads(row.submission), source=f"run {row.id}")
        self.state = RunState(
            self.submission.plan,
            Limits(**asdict(self.submission.limits), batch_s=BATCH_S, window_s=WINDOW_S, steal_s=0.5),
            start=self.submission.start,
            python="the worker's interpreter",
        )
        self.leases: dict[str, LiveLease] = {}
        self.changed_leases: set[str] = set()
        self.started_on: set[str] = set()
        self.discarded: list[str] = []
        self._engine = Engine(self.state, clock)
        shared = (self.owner, self.repository or row.bundle, row.branch)
        self.workspace = hashlib.sha256("\0".join(shared).encode("utf-8", "replace")).hexdigest()[:32]
        """The runs of one credential on one branch follow each other in one tree on a worker: nobody else's do."""
        self._kept = Kept(run=self.id, repository=self.repository)

    @property
    def now(self) -> float:
        """Seconds that a coordinator has looked after this run."""
        return self._engine.now

    @property
    def is_over(self) -> bool:
        """True when all is told."""
        return self.state.is_over

    @property
    def events(self) -> int:
        """How many events the run has told."""
        return self._kept.events

    @property
    def ended_at(self) -> float | None:
        """When it ended, as Unix time in seconds; None where it has not."""
        return self._kept.ended_at

    def replay(self, inputs: Iterable[tuple[float, Input]], leases: Iterable[LiveLease], *, events: int) -> None:
        """
        Live through the record again. `events` is how many events were told already.

        Raises what the record raises, where another version of this program wrote it.
        """
        self.leases = {lease.slot: lease for lease in leases}
        for outputs in self._engine.replay(inputs):
            for output in outputs:
                if isinstance(output, Tell):
                    self._kept.tally.add(output.event)
            self._take_in(outputs)
        self.discarded.clear()
        self._kept.events = events

    def put(self, changes: Changes, what: Input) -> None:
        """Put something into the run, and let follow what follows."""
        self._take_in(self._engine.put(SqlStore(self._kept, changes), what))

    def totals(self) -> dict[str, int]:
        """How many cases have each outcome so far, and how many are known."""
        return self._kept.tally.totals()

    def close_lease(self, changes: Changes, lease: LiveLease, state: str) -> None:
        """The lease is over: `closed` when its process ended, `lost` when its worker was not heard of."""
        self.leases.pop(lease.slot, None)
        changes.update(LEASES, lease.id, state=state, closed_at=time.time(), heard=lease.heard)

    def log(self, changes: Changes, lease: LiveLease, text: str) -> None:
        """Pass on what a slot printed outside of any captured test, up to a limit."""
        left = MOST_LOG_BYTES - lease.logged_bytes
        lease.logged_bytes += len(text)
        if left > 0:
            SqlStore(self._kept, changes).note(wire.Logged(slot=lease.slot, text=text[:left]))

    def _take_in(self, outputs: Sequence[Output]) -> None:
        """What of the outputs concerns leases; a replay makes it again."""
        for output in outputs:
            match output:
                case Send():
                    self._command(output.slot, command_to_jsonable(output.command))
                case Start() if output.slot in self.leases:
                    self.leases[output.slot].is_plain = output.is_plain
                    self.leases[output.slot].visible = output.visible
                case Discard():
                    self.discarded.append(output.slot)
                case Kill():
                    self._command(output.slot, {"op": "kill", "reason": output.reason})
                case Tell(CaseStarted() as started):
                    if started.slot in self.leases:
                        self.leases[started.slot].running = started.case
                        self.leases[started.slot].since = started.at
                case Tell(CaseFinished() as finished):
                    if finished.attempt.slot in self.leases:
                        self.leases[finished.attempt.slot].running = ""

    def _command(self, slot: str, message: Mapping[str, Any]) -> None:
        lease = self.leases.get(slot)
        if lease is not None:
            lease.command(message)
            self.changed_leases.add(lease.id)


def capability_of(text: str, source: str) -> Capability:
    """A capability as its row holds it."""
    return from_jsonable(Capability, json.loads(text), source=source)
