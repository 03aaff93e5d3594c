"""Processes that leave while the run goes on: for a fresh one, for one that sees other devices, for another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dt_action.engine.actions import Discard, Kill, Output, Send
from dt_action.engine.brain import Dispatcher
from dt_action.engine.controlling import Controlling
from dt_action.engine.interrupting import GRACE_S
from dt_action.engine.outbox import Outbox
from dt_action.engine.processes import Process, Processes
from dt_action.model import slot_protocol as protocol


class MakingWay:
    """Lets go of processes. `has_fresh_processes` tells that each has one file or test."""

    def __init__(
        self, processes: Processes, outbox: Outbox, controlling: Controlling, *, has_fresh_processes: bool
    ) -> None:
        self._processes = processes
        self._outbox = outbox
        self._controlling = controlling
        self._has_fresh_processes = has_fresh_processes

    def release(self, brain: Dispatcher, slot: str, now: float) -> list[Output]:
        """Let the slot end as soon as it can: somebody else needs its place."""
        process = self._processes.get(slot)
        if process is None or process.is_starting:
            return []
        process.is_leaving = True
        held = brain.slots.get(slot)
        if held is not None and held.is_held:
            return self._outbox.follow(brain.let_go(slot))
        if slot in brain.resting:
            return self.end_leaving(brain, slot, process, now)
        return self._outbox.follow(brain.take_rest(slot))

    def discard(self, brain: Dispatcher, slots: Sequence[str], now: float) -> list[Output]:
        """Processes that are not wanted after all."""
        outputs: list[Output] = []
        for slot in slots:
            del self._processes[slot]
            outputs.append(Discard(slot=slot))
            outputs += self._outbox.follow([*self._controlling.slot_gone(slot), *brain.slot_left(slot, now)])
            outputs += self._outbox.follow(brain.process_gone(slot, now))
        return outputs

    def wants(self, brain: Dispatcher, slot: str, process: Process, now: float) -> list[Output]:
        """
        The slot can begin nothing more: it gets work, or ends.

        Under isolation by file or test a process that has had one makes way for a fresh one.

        So does one that sees devices which nobody needs as they are, for one that sees others.
        """
        is_free = not brain.is_finished and not self._has_work(brain, slot)
        if is_free:
            process.is_leaving |= self._has_fresh_processes and process.is_used
            process.is_used = True
            process.is_leaving |= brain.is_done_with(slot)
        if not is_free or not process.is_leaving:
            return self._outbox.follow(brain.wants(slot, now))
        if slot in brain.slots and brain.slots[slot].running:
            return self._outbox.follow(brain.let_go(slot))  # first the teardown, which belongs to the last test
        return self._stop(brain, slot, process, now)

    def _has_work(self, brain: Dispatcher, slot: str) -> bool:
        state = brain.slots.get(slot)
        return state is not None and state.has_work

    def end_leaving(self, brain: Dispatcher, slot: str, process: Process, now: float) -> list[Output]:
        """Let the slot end where it is to leave, and has nothing in hand any more."""
        if not process.is_leaving or process.is_stopped or brain.is_finished or self._has_work(brain, slot):
            return []
        return self._stop(brain, slot, process, now)

    def make_room(self, brain: Dispatcher, room: Mapping[str, int], now: float) -> list[Output]:
        """
        Let go of processes that are less needed than one with devices, where the places of a worker are taken.

        `room` is how many places each worker has left.
        """
        outputs: list[Output] = []
        for slot in filter(brain.is_done_with, brain.resting):
            if slot in self._processes:
                outputs += self._stop(brain, slot, self._processes[slot], now)
        for worker, places in room.items():
            if places > 0 or not brain.wants_seat_on(worker):
                continue
            here = self._processes.on(worker)
            if any(process.is_leaving for process in here.values()):
                continue
            plain = [slot for slot in here if not brain.backlog.lending.sees(slot) and not here[slot].confirms]
            resting = [slot for slot in brain.resting if slot in plain]
            for slot in [*resting, *(slot for slot in plain if not here[slot].is_starting)][:1]:
                outputs += self.release(brain, slot, now)
        return outputs

    def _stop(self, brain: Dispatcher, slot: str, process: Process, now: float) -> list[Output]:
        process.is_stopped = True
        return self._outbox.follow([Send(slot=slot, command=protocol.Stop()), *brain.slot_left(slot, now)])

    def note_evicted(self, now: float) -> bool:
        """Note since when processes are asked to leave; True where that is news."""
        fresh = [process for process in self._processes.values() if process.is_evicted and process.evicted_at is None]
        for process in fresh:
            process.evicted_at = now
        return bool(fresh)

    def end_evicted(self, now: float) -> list[Output]:
        """End the processes that were asked to leave, and had their time to tear down."""
        outputs: list[Output] = []
        for slot, process in self._processes.items():
            if process.evicted_at is not None and now - process.evicted_at >= GRACE_S and process.kill is None:
                outputs += self._outbox.follow([Kill(slot=slot, outcome="crashed", reason="it did not leave in time")])
        return outputs
