"""The processes of a run's slots: which there are, where, and in which state each one is."""

from __future__ import annotations

from dataclasses import dataclass

from dt_action.engine.actions import Kill


@dataclass(slots=True, kw_only=True)
class Process:
    """
    A slot's process. `sent` counts the commands for it.

    It is `is_starting` until it has collected, `is_leaving` when it is to stop as soon as it has nothing in hand,
    `is_stopped` once it was told to, or leaves of its own will. One that `is_evicted`, since `evicted_at`, has some
    seconds to tear down. One that `confirms` runs failures once more, as plain pytest runs them. `kill` is why it is
    being ended, `exit_code` the one with which its session ended before it had collected.
    """

    worker: str
    is_starting: bool = True
    confirms: bool = False
    is_used: bool = False
    is_leaving: bool = False
    is_stopped: bool = False
    is_evicted: bool = False
    evicted_at: float | None = None
    sent: int = 0
    kill: Kill | None = None
    exit_code: int | None = None


class Processes(dict[str, Process]):
    """The processes that live, by slot."""

    @property
    def starting(self) -> tuple[str, ...]:
        """The slots whose process is not ready yet."""
        return tuple(slot for slot, process in self.items() if process.is_starting)

    @property
    def working(self) -> list[str]:
        """The slots whose process takes work of the plan."""
        return [slot for slot, process in self.items() if not (process.is_starting or process.confirms)]

    def on(self, worker: str) -> dict[str, Process]:
        """Those of one worker."""
        return {slot: process for slot, process in self.items() if process.worker == worker}

    def staying_on(self, worker: str) -> int:
        """How many of one worker were not told to stop."""
        return sum(process.worker == worker and not process.is_stopped for process in self.values())
