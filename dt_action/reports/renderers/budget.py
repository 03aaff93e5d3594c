"""Fits a report into the bytes that a place has: passing tests go first, then skipped ones, then long traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

ALL = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """
    How much of a run is told: whether passing and skipped tests, how many failures and how many of them `in_full`.

    A failure in full has a trace of at most `trace_characters`; of the others only the names are told.
    """

    passing: bool = True
    skipped: bool = True
    trace_characters: int = 20_000
    in_full: int = ALL
    failures: int = ALL


LADDER = (
    Cut(),
    Cut(passing=False),
    Cut(passing=False, skipped=False),
    *(Cut(passing=False, skipped=False, trace_characters=size) for size in (8_000, 4_000, 2_000, 1_000, 400)),
)
"""From the whole to a little of each; each step tells less than the one before."""

FEW = (500, 200, 100, 50, 25, 12, 6, 3, 1, 0)
MANY = (ALL, 20_000, 10_000, 5_000, 2_000, 1_000, 500, 200, 100, 50, 25, 12, 6, 3, 1, 0)

ROOM_FOR_TRACES = 0.6
"""Where not all failures can be told in full, a few are, before thousands of names, in this share of the room."""


def fit(render: Callable[[Cut], str], budget_bytes: int) -> bytes:
    """
    The fullest rendering that has at most `budget_bytes` in UTF-8.

    A half table or an open fence cannot come of it, since every candidate is a rendering in its own right; only
    where even the shortest is too long are its lines cut, which `render` must then keep free of structure.
    """
    fullest = _first_that_fits(LADDER, render, budget_bytes)
    if fullest is not None:
        return _bytes(render(fullest))
    size = max(400, min(4_000, budget_bytes // 40))
    few = [Cut(passing=False, skipped=False, trace_characters=size, in_full=count, failures=count) for count in FEW]
    told = _first_that_fits(few, render, int(budget_bytes * ROOM_FOR_TRACES)) or few[-1]
    named = [replace(told, failures=count) for count in MANY if count >= told.in_full]
    best = _bytes(render(_first_that_fits(named, render, budget_bytes) or told))
    return best if len(best) <= budget_bytes else _cut(best, budget_bytes)


def _first_that_fits(cuts: Sequence[Cut], render: Callable[[Cut], str], budget_bytes: int) -> Cut | None:
    """`cuts` must tell less and less."""
    best: Cut | None = None
    low, high = 0, len(cuts) - 1
    while low <= high:
        middle = (low + high) // 2
        if len(_bytes(render(cuts[middle]))) <= budget_bytes:
            best, high = cuts[middle], middle - 1
        else:
            low = middle + 1
    return best


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _cut(content: bytes, budget_bytes: int) -> bytes:
    """Whole lines where one fits, else a part of the first."""
    kept = content[: max(budget_bytes, 0)].decode("utf-8", "ignore")
    lines, newline, _ = kept.rpartition("\n")
    return (lines + newline or kept).encode()
