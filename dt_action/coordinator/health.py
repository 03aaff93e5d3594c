"""Whether a worker gets anything started: one whose environment is broken would fail run after run."""

from __future__ import annotations

from dataclasses import dataclass, field

FAILED_STARTS = 3
"""So many runs in a row that do not start on a worker are told to its admin."""

STARTED_ELSEWHERE = 2
"""Where so many of them started on another worker, it is not the runs' fault, and the worker is put aside."""

MOST_KEPT = 50


@dataclass(slots=True)
class Starts:
    """The runs that did not start on a worker, since the last one that did, each with whether it did elsewhere."""

    failed: dict[str, bool] = field(default_factory=dict)
    last: str = ""

    def succeeded(self) -> None:
        """A process is ready there: the environment is sound."""
        self.failed.clear()

    def failed_for(self, run: str, why: str, *, is_ready_elsewhere: bool) -> None:
        """A process of this run did not get ready."""
        self.failed[run] = self.failed.get(run, False) or is_ready_elsewhere
        self.last = why.strip().rpartition("\n")[2][:300]
        if len(self.failed) > MOST_KEPT:
            del self.failed[next(iter(self.failed))]

    @property
    def trouble(self) -> str:
        """What an admin should know; empty where there is nothing yet."""
        if len(self.failed) < FAILED_STARTS:
            return ""
        return f"{len(self.failed)} runs in a row did not start here; the last one: {self.last}"

    @property
    def is_broken(self) -> bool:
        """True where it is the worker that fails, and not what it is given."""
        return bool(self.trouble) and sum(self.failed.values()) >= STARTED_ELSEWHERE
