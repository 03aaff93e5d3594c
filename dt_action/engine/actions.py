"""What the state of a run asks for, and the limits that it works within."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from dt_action.model.event import Event
from dt_action.model.holding import Sharing, Visible
from dt_action.model.slot_protocol import Command, ToController


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    When to give up, and how to deal work out. Seconds throughout; None is no limit.

    `case_timeout_s` is for one case, `collect_timeout_s` for the import and collection of one file. `retries` is how
    often a failing case is tried again. `fail_fast` ends the run after so many failing cases, 0 never. Failures that
    splitting may have made are confirmed in `confirm_budget_s`, 0 never. `batch_s` is about how much work a slot is
    handed at once (less towards the end of the run), `window_s` how much of it the slot may start without asking: it
    must cover the way there and back. `steal_s` is the least work worth moving from a busy slot to an idle one.
    `gpu_sharing` is who may have a device at once: tests whose memory fits (`auto`), one (`off`), or everybody (`all`).
    """

    case_timeout_s: float | None = None
    collect_timeout_s: float | None = None
    no_output_timeout_s: float | None = None
    run_timeout_s: float | None = 3600.0
    retries: int = 0
    fail_fast: int = 0
    confirm_budget_s: float = 0.0
    batch_s: float = 0.25
    one_by_one: bool = False
    window_s: float = 0.25
    steal_s: float = 0.05
    gpu_sharing: Sharing = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send `command` to the slot's process, or to the controller session's."""

    slot: str
    command: Command | ToController


@dataclass(frozen=True, slots=True)
class StartController:
    """Start the controller session's process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End the slot's process, whatever it does, and then tell the brain: `slot_lost` with this outcome and reason."""

    slot: str
    outcome: Literal["timeout", "crashed"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """
    Start the slot's process on a worker, as one of several or (`is_plain`) as plain pytest's only one.

    `visible` are the devices that it is to see; None for all that are there.
    """

    slot: str
    worker: str
    is_plain: bool = False
    visible: Visible | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """The slot's process is not wanted: it is to be ended, and what it tells yet is nobody's business."""

    slot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """
    Nowhere can pytest be started for this run; `hint` says what to do. The run's end follows.

    `exit_code` is pytest's own where it did start, and ended by itself before any test.
    """

    message: str
    hint: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Tell:
    """Pass this event on to whoever listens."""

    event: Event


Action: TypeAlias = Send | StartController | Kill | Tell
Output: TypeAlias = Action | Start | Discard | Refuse
