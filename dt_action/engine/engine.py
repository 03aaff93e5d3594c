"""A run and its record: everything that is put into it is kept in a store, and can be lived through again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from dt_action.engine.actions import Output, Refuse, Tell
from dt_action.engine.inputs import Input, Tick
from dt_action.engine.run_state import RunState
from dt_action.model.event import Event

Told: TypeAlias = Event | Refuse


class Store(Protocol):
    """Where a run is kept: in memory, or in the tables of a coordinator's database."""

    def add_input(self, number: int, now: float, what: Input) -> None:
        """Keep what was put into the run; `number` counts from 1, `now` is the run's time in seconds."""

    def add_event(self, event: Told) -> None:
        """Keep what the run tells."""


@dataclass(slots=True)
class MemoryStore:
    """The store of a run that nobody continues after its process; `keeps_inputs` for one that will be looked into."""

    keeps_inputs: bool = False
    inputs: list[tuple[float, Input]] = field(default_factory=list)
    events: list[Told] = field(default_factory=list)

    def add_input(self, number: int, now: float, what: Input) -> None:
        """See `Store`."""
        if self.keeps_inputs:
            self.inputs.append((now, what))

    def add_event(self, event: Told) -> None:
        """See `Store`."""
        self.events.append(event)


class Engine:
    """
    One run: its state, the number of its inputs, and its time.

    The state is deterministic: the same inputs at the same times give the same outputs. Time stands still while
    nobody looks after the run, so that the absence of a coordinator makes no test overdue.
    """

    def __init__(self, state: RunState, clock: Callable[[], float]) -> None:
        self.state = state
        self._clock = clock
        self._offset_s = -clock()
        self._inputs = 0

    @property
    def now(self) -> float:
        """Seconds that the run has been looked after."""
        return self._clock() + self._offset_s

    def put(self, store: Store, what: Input) -> list[Output]:
        """Put something into the run, and keep it with what it brought about; but no tick that changed nothing."""
        now, was_over = self.now, self.state.is_over
        outputs = self.state.put(what, now)
        if not was_over and (not isinstance(what, Tick) or outputs or self.state.has_learnt):
            self._inputs += 1
            store.add_input(self._inputs, now, what)
        for output in outputs:
            if isinstance(output, Tell):
                store.add_event(output.event)
            elif isinstance(output, Refuse):
                store.add_event(output)
        return outputs

    def replay(self, inputs: Iterable[tuple[float, Input]]) -> Iterator[list[Output]]:
        """Live through the record again; what each input brought about, which is kept already."""
        last_s = 0.0
        for now, what in inputs:
            self._inputs += 1
            last_s = now
            yield self.state.put(what, now)
        self._offset_s = last_s - self._clock()
