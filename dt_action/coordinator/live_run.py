"""A run that is not over: its course, the record of all that was put into it, and what waits for its slots."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dt_action.coordinator.course import Course, Death, Output, Refusal
from dt_action.coordinator.store import EVENTS, INPUTS, LEASES, RESULTS, RUNS, Changes, as_text, case_key, storable
from dt_action.engine import Kill, Limits, Send
from dt_action.model.event import CaseFinished, CaseStarted, CaseUnplaced, Ended, FileCollected, Notice
from dt_action.model.hardware import Capability
from dt_action.model.json_codec import from_jsonable
from dt_action.model.slot_protocol import (
    Finished,
    Message,
    Uncollectable,
    command_to_jsonable,
    message_to_jsonable,
    parse_relayed,
)
from dt_action.remote import wire

BATCH_S = 5.0
"""How much work a slot is handed at once: enough to outweigh the way to it."""

WINDOW_S = 0.5
"""How much of it a slot may start without asking: longer than a round trip, and what a partition leaves it to do.

Of tests that nobody has timed yet it is many cases, which no idle slot can take over then; so no more than that.
"""

MOST_LOG_BYTES = 256 * 1024
"""So much uncaptured output of one slot is kept."""

_BULKY = ("message", "detail", "stdout", "stderr")
"""
Of a result, what no decision depends on: it stands in the event, and need not stand in the record, too. But by the
message of a skip the brain sees whether another machine would have run the test.
"""


@dataclass(slots=True, kw_only=True)
class LiveLease:
    """A slot of a run on a worker. `heard` is the last message that was taken in, `commands` what it may not have."""

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
    commands: deque[wire.Numbered] = field(default_factory=deque)

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
    A run in memory. `rung` gathers the ids of leases for which there are new commands.

    It can be made again at any time from its row and the record of its inputs. The course is deterministic: the same
    inputs at the same times give the same commands, numbered alike. Time stands still while no coordinator runs, so
    that its absence makes no test overdue.
    """

    def __init__(self, row: Any, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.id: str = row.id
        self.owner: str = row.owner
        self.repository: str = row.repository
        self.priority: int = row.priority
        self.max_slots: int = row.max_slots
        self.created_at: float = row.created_at
        self.submission = from_jsonable(wire.Submission, json.loads(row.submission), source=f"run {row.id}")
        limits = self.submission.limits
        self.course = Course(
            self.submission.plan,
            Limits(
                case_timeout_s=limits.case_timeout_s,
                no_output_timeout_s=limits.no_output_timeout_s,
                run_timeout_s=limits.run_timeout_s,
                retries=limits.retries,
                fail_fast=limits.fail_fast,
                batch_s=BATCH_S,
                window_s=WINDOW_S,
                steal_s=0.5,
            ),
            isolation=self.submission.isolation,
        )
        self.leases: dict[str, LiveLease] = {}
        self.outcomes: Counter[str] = Counter()
        self.known_cases = 0
        self.rung: set[str] = set()
        self.events = 0
        self.ended_at: float | None = None
        self._failed_before: set[str] = set()
        self._inputs = 0
        self._clock = clock
        self._offset_s = -clock()

    @property
    def now(self) -> float:
        """Seconds that a coordinator has looked after this run."""
        return self._clock() + self._offset_s

    @property
    def is_over(self) -> bool:
        """True when all is told."""
        return self.course.is_finished

    def replay(self, inputs: Iterable[str], leases: Iterable[LiveLease], *, events: int) -> None:
        """Live through the record again. `events` is how many events were told already."""
        self.leases = {lease.slot: lease for lease in leases}
        last_s = 0.0
        for text in inputs:
            self._inputs += 1
            record = json.loads(text)
            last_s = record["now"]
            for output in self._perform(record["do"], _revived(record["with"]), last_s):
                self._take_in(output)
        self.events = events
        self._offset_s = last_s - self._clock()

    def put(self, changes: Changes, do: str, **arguments: Any) -> list[Output]:
        """Put something into the course, record it, and let follow what follows."""
        now, was_over = self.now, self.is_over
        outputs = self._perform(do, arguments, now)
        if not was_over and (do != "tick" or outputs or self.course.has_learnt):
            self._inputs += 1
            record = {"do": do, "now": now, "with": _recorded(arguments)}
            changes.add(INPUTS, run=self.id, seq=self._inputs, payload=as_text(record))
        for output in outputs:
            self._take_in(output)
            self._write(changes, output)
        return outputs

    def note(self, changes: Changes, event: wire.StreamEvent) -> int:
        """Add an event to the stream; its number."""
        self.events += 1
        changes.add(
            EVENTS,
            run=self.id,
            seq=self.events,
            kind=type(event).__name__,
            at=time.time(),
            payload=as_text(wire.event_to_jsonable(event)),
        )
        return self.events

    def totals(self) -> dict[str, int]:
        """How many cases have each outcome so far, and how many are known."""
        return {**self.outcomes, "known": self.known_cases}

    def _perform(self, do: str, given: Mapping[str, Any], now: float) -> list[Output]:
        course = self.course
        if do == "told":
            slot, at = given["slot"], given["at"]
            return [output for message in given["messages"] for output in course.heard(slot, message, now=now, at=at)]
        if do == "heard":  # in the record of a run that began under version 0.1, one message each
            return course.heard(given["slot"], parse_relayed(given["message"]), now=now, at=given["at"])
        if do == "tick":
            return course.tick(now)
        if do == "slot_starting":
            course.slot_starting(given["worker"])
            return []
        if do == "died":
            return course.died(given["slot"], Death(**given["death"]), now)
        if do == "worker_joined":
            capability = from_jsonable(Capability, given["capability"], source="a worker's capability")
            return course.worker_joined(given["worker"], capability, given["slots"], now)
        if do == "worker_lost":
            return course.worker_lost(given["worker"], given["reason"], now)
        if do == "brief":
            return course.brief(given["slot"])
        if do == "release":
            return course.release(given["slot"], now)
        if do == "cancel":
            return course.cancel(given["status"], given["reason"], now)
        raise ValueError(f"no input {do!r}")

    def _take_in(self, output: Output) -> None:
        """What of an output is kept in memory, and so is made again by a replay."""
        match output:
            case Send(slot=slot, command=command):
                self._command(slot, command_to_jsonable(command))
            case Kill(slot=slot):
                self._command(slot, {"op": "kill", "reason": output.reason})
            case FileCollected():
                self.known_cases += len(output.cases)
            case CaseStarted():
                if output.slot in self.leases:
                    self.leases[output.slot].running = output.case
                    self.leases[output.slot].since = output.at
            case CaseFinished():
                if output.attempt.slot in self.leases:
                    self.leases[output.attempt.slot].running = ""
                if output.will_retry:
                    self._failed_before.add(output.case.id)
                else:
                    self.outcomes[output.attempt.outcome] += 1
                    self.known_cases += output.case.id == output.case.file
            case CaseUnplaced():
                self.outcomes["unplaced"] += 1
            case _:
                pass

    def _command(self, slot: str, message: Mapping[str, Any]) -> None:
        lease = self.leases.get(slot)
        if lease is not None:
            lease.command(message)
            self.rung.add(lease.id)

    def _write(self, changes: Changes, output: Output) -> None:
        match output:
            case Send() | Kill():
                return
            case Refusal():
                self.note(changes, wire.Refused(message=output.message, hint=output.hint))
            case CaseFinished():
                seq = self.note(changes, output)
                if not output.will_retry:
                    self._write_result(changes, output, seq)
            case Ended():
                self.note(changes, output)
                self._end(changes, output)
            case _:
                self.note(changes, output)

    def _write_result(self, changes: Changes, finished: CaseFinished, seq: int) -> None:
        attempt = finished.attempt
        changes.add(
            RESULTS,
            run=self.id,
            event=seq,
            repository=self.repository,
            case=storable(finished.case.id),
            case_key=case_key(finished.case.id),
            outcome=attempt.outcome,
            is_flaky=not attempt.is_failing and finished.case.id in self._failed_before,
            duration_s=attempt.duration_s,
            worker=storable(attempt.worker, 255),
            slot=attempt.slot,
            started_at=attempt.started_at or time.time(),
            message=storable(attempt.message, 500),
        )

    def _end(self, changes: Changes, ended: Ended) -> None:
        self.ended_at = time.time()
        changes.update(
            RUNS,
            self.id,
            ended_at=self.ended_at,
            status=ended.status,
            reason=storable(ended.reason, 4000),
            totals=as_text(self.totals()),
        )
        changes.execute(INPUTS.delete().where(INPUTS.c.run == self.id))

    def close_lease(self, changes: Changes, lease: LiveLease, state: str) -> None:
        """The lease is over: `closed` when its process ended, `lost` when its worker was not heard of."""
        self.leases.pop(lease.slot, None)
        changes.update(LEASES, lease.id, state=state, closed_at=time.time(), heard=lease.heard)

    def log(self, changes: Changes, lease: LiveLease, text: str) -> None:
        """Pass on what a slot printed outside of any captured test, up to a limit."""
        left = MOST_LOG_BYTES - lease.logged_bytes
        lease.logged_bytes += len(text)
        if left > 0:
            self.note(changes, wire.Logged(slot=lease.slot, text=text[:left]))

    def warn(self, changes: Changes, text: str) -> None:
        """Tell those who follow the run something that they should read once."""
        self.note(changes, Notice(level="warning", text=text))


def _recorded(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    if "messages" not in arguments:
        return arguments
    return {**arguments, "messages": [_slim(message) for message in arguments["messages"]]}


def _revived(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    if "messages" not in arguments:
        return arguments
    return {**arguments, "messages": [parse_relayed(message) for message in arguments["messages"]]}


def _slim(message: Message) -> Mapping[str, Any]:
    jsonable = message_to_jsonable(message)
    if isinstance(message, (Finished, Uncollectable)):
        kept = "message" if isinstance(message, Finished) and message.outcome == "skipped" else ""
        return {name: "" if name in _BULKY and name != kept else value for name, value in jsonable.items()}
    return jsonable


def capability_of(text: str, source: str) -> Capability:
    """A capability as its row holds it."""
    return from_jsonable(Capability, json.loads(text), source=source)
