"""What the brain asks a fleet to do, and the limits it works within."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from dt_action.model.event import Event
from dt_action.model.plan import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    When to give up, and how to deal work out. Seconds throughout; None is no limit.

    `retries` is how often a failing case is tried again. `fail_fast` ends the run after so many failing cases, 0
    never. `batch_s` is about how much work a slot is handed at once (less towards the end of the run), `window_s`
    how much of it the slot may start without asking: it must cover the way there and back. `steal_s` is the least
    work worth moving from a busy slot to an idle one.
    """

    case_timeout_s: float | None = None
    no_output_timeout_s: float | None = None
    run_timeout_s: float | None = 3600.0
    retries: int = 0
    fail_fast: int = 0
    batch_s: float = 0.25
    window_s: float = 0.25
    steal_s: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Hand `batch` to the slot, with credit to start `credit` cases."""

    slot: str
    batch: Batch
    credit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Let the slot start `credit` more cases."""

    slot: str
    credit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """
    Take back all credit: the slot's case takes longer than expected, and others wait behind it.

    Should the case end just then, the slot may begin one more that another slot has been given, too: it runs twice,
    and the word of the slot that has it counts.
    """

    slot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """
    Take cases, and all there is of files, back from the slot. It had no credit for them, so it has not started them.

    It may have begun to collect such a file meanwhile: what it then tells of it is nobody's business any more.
    """

    slot: str
    cases: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """There is nothing for the slot now; it should tear down what it holds and wait."""

    slot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End the slot's process, whatever it does, and then tell the brain: `slot_lost` with this outcome and reason."""

    slot: str
    outcome: Literal["timeout", "crashed"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Nothing will follow: the slot should end its session and leave."""

    slot: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Pass this event on to whoever listens."""

    event: Event


Action: TypeAlias = Assign | Grant | Recall | Drop | Rest | Kill | Stop | Tell
