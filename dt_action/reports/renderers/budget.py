"""Fits a report into the bytes that a place has: passing tests go first, then skipped ones, then long traces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How much of a run is told: whether passing and skipped tests, how many failures, how long a trace."""

    passing: bool = True
    skipped: bool = True
    trace_characters: int = 20_000
    failures: int = 1_000_000


LADDER = (
    Cut(),
    Cut(passing=False),
    Cut(passing=False, skipped=False),
    *(Cut(passing=False, skipped=False, trace_characters=size) for size in (8_000, 4_000, 2_000, 1_000, 400, 0)),
    *(Cut(passing=False, skipped=False, trace_characters=0, failures=count) for count in (1_000, 300, 100, 30, 10, 0)),
)
"""From the whole to next to nothing; each step tells less than the one before."""


def fit(render: Callable[[Cut], str], budget_bytes: int) -> bytes:
    """
    The fullest rendering that has at most `budget_bytes` in UTF-8.

    A half table or an open fence cannot come of it, since every candidate is a rendering in its own right; only
    where even the shortest is too long are its lines cut, which `render` must then keep free of structure.
    """
    shortest, best = len(LADDER) - 1, b""
    low, high = 0, shortest
    while low <= high:
        middle = (low + high) // 2
        content = render(LADDER[middle]).encode("utf-8", "replace")
        if len(content) <= budget_bytes:
            best, high = content, middle - 1
        else:
            low = middle + 1
    return best or _cut(render(LADDER[shortest]).encode("utf-8", "replace"), budget_bytes)


def _cut(content: bytes, budget_bytes: int) -> bytes:
    """Whole lines where one fits, else a part of the first."""
    kept = content[: max(budget_bytes, 0)].decode("utf-8", "ignore")
    lines, newline, _ = kept.rpartition("\n")
    return (lines + newline or kept).encode()
