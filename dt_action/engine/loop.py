"""A run whose slots live in a host of this process: carries what the host tells to the engine, and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

from dt_action.engine.actions import Discard, Kill, Refuse, Send, Start, StartController, Tell
from dt_action.engine.engine import Engine, MemoryStore
from dt_action.engine.inputs import Cancel, Hear, Input, Join, Leave, Open, Tick
from dt_action.engine.run_state import RunState
from dt_action.errors import no_session
from dt_action.model.event import Event, LeftBehind
from dt_action.model.slot_protocol import Artifact, Died, Message, Printed, Stop, Working
from dt_action.ports import Happened, Heard, Interruption, Left, Place, SlotHost

TICK_S = 0.1


class Loop:
    """
    Runs `state` on the slots of `host`, on the workers in `places` and those that join later; all of them are its own.

    With `watches_output` the state is told when a slot prints. `start_controller` starts the controller session's
    process, heard of as the slot `controller`, where the state may ask for it. An `interruption` that is requested
    ends the run early. `clock` gives seconds on a steady clock; a simulation has its own.
    """

    def __init__(
        self,
        state: RunState,
        host: SlotHost,
        places: Sequence[Place],
        *,
        watches_output: bool = False,
        start_controller: Callable[[], None] | None = None,
        interruption: Interruption | None = None,
        clock: Callable[[], float] = time.monotonic,
        store: MemoryStore | None = None,
    ) -> None:
        self._state = state
        self._engine = Engine(state, clock)
        self._host = host
        self._places = places
        self._watches_output = watches_output
        self._start_controller = start_controller
        self._interruption = interruption
        self._clock = clock
        self._store = store or MemoryStore()
        self._unix_at_0 = time.time() - clock()
        self._printed: dict[str, int] = {}

    def events(self) -> Iterator[Event]:
        """See `ports.Fleet.execute`. Raises what `errors.no_session` says."""
        with self._interruption.heeded() if self._interruption is not None else nullcontext():
            yield from self._run()

    def _run(self) -> Iterator[Event]:
        yield from self._begin()
        was_interrupted = False
        next_tick = self._clock() + TICK_S
        while not self._state.is_over:
            for happened in self._host.poll(max(0.0, next_tick - self._clock())):
                yield from self._happened(happened)
                if self._state.is_over:
                    break
            if self._interruption is not None and self._interruption.is_requested and not was_interrupted:
                was_interrupted = True
                yield from self._put(Cancel(status="cancelled", reason="interrupted"))
            if self._clock() >= next_tick:
                yield from self._watch_output()
                yield from self._put(Tick())
                yield from self._fill()
                next_tick = self._clock() + TICK_S
        self._host.close()

    def _begin(self) -> Iterator[Event]:
        for place in self._places:
            yield from self._join(place)
        for _ in self._host.slots:  # the first ones may have been started before there was a plan
            yield from self._put(Open(worker=self._places[0].worker))
        yield from self._fill()

    def _fill(self) -> Iterator[Event]:
        """Open slots on the workers in turns, as long as there is room and something to do for them."""
        is_open = True
        while is_open:
            is_open = False
            for worker in self._state.workers:
                if self._state.room_on(worker) > 0 and self._state.wants_slot_on(worker):
                    is_open = True
                    yield from self._put(Open(worker=worker))

    def _watch_output(self) -> Iterator[Event]:
        for slot in self._host.slots if self._watches_output else ():
            printed = self._host.output_bytes(slot)
            if printed != self._printed.get(slot):
                self._printed[slot] = printed
                yield from self._hear(slot, Printed())
        for slot in self._state.maybe_stalled(self._clock()):
            if self._host.has_program(slot):
                yield from self._hear(slot, Working())

    def _happened(self, happened: Happened) -> Iterator[Event]:
        match happened:
            case Heard(slot=slot, message=Artifact() as piece):  # no decision depends on it, and it may be large
                yield left_behind(slot, piece)
            case Heard():
                yield from self._hear(happened.slot, happened.message)
                if isinstance(happened.message, Died):
                    yield from self._fill()
            case Place():
                yield from self._join(happened)
                yield from self._fill()
            case Left():
                yield from self._put(Leave(worker=happened.worker, reason=happened.reason))

    def _join(self, place: Place) -> Iterator[Event]:
        yield from self._put(Join(worker=place.worker, capability=place.capability, slots=place.slots))

    def _hear(self, slot: str, message: Message) -> Iterator[Event]:
        yield from self._put(Hear(slot=slot, messages=(message,), at=self._unix_at_0 + self._clock()))

    def _put(self, what: Input) -> Iterator[Event]:
        """Put something into the run, and do what it asks for; what it tells comes out."""
        makes_room = False
        for output in self._engine.put(self._store, what):
            match output:
                case Tell():
                    yield output.event
                case Send():
                    self._host.send(output.slot, output.command)
                    makes_room |= isinstance(output.command, Stop)
                case Start():
                    if output.slot not in self._host.slots:
                        self._host.start(output.slot, output.worker, is_plain=output.is_plain, visible=output.visible)
                case StartController():
                    if self._start_controller is not None:
                        self._start_controller()
                case Kill():
                    self._host.kill(output.slot, show_where=True)
                case Discard():
                    self._host.kill(output.slot)
                    makes_room = True
                case Refuse():
                    raise no_session(output.message, hint=output.hint, exit_code=output.exit_code)
        if makes_room and not self._state.is_finished:
            yield from self._fill()


def left_behind(slot: str, piece: Artifact) -> LeftBehind:
    """A piece of a file, for whoever gathers what tests leave."""
    return LeftBehind(
        case=piece.id,
        slot=slot,
        tries=piece.tries,
        name=piece.name,
        data=piece.data,
        is_first=piece.first,
        note=piece.note,
    )
