"""Pictures for the dashboard, worked out as shapes: where slots spent their time, and how a test's durations went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 1000.0
ROW = 22.0
MOST_SHAPES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A rectangle; `outcome` gives its colour, `title` is shown when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    outcome: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Shapes, with a label for each row, and how many seconds its width stands for."""

    shapes: tuple[Shape, ...]
    labels: tuple[tuple[float, str], ...]
    height: float
    seconds: float


def timeline(results: Sequence[Any]) -> Picture:
    """A row for each slot; each case where and when it ran. The longest ones, where there are too many to draw."""
    drawn = sorted(results, key=lambda row: -row.duration_s)[:MOST_SHAPES]
    rows = sorted({(row.worker, row.slot) for row in drawn if row.slot})
    place = {row: index * ROW for index, row in enumerate(rows)}
    begin = min((row.started_at for row in drawn if row.slot), default=0.0)
    end = max((row.started_at + row.duration_s for row in drawn if row.slot), default=0.0)
    seconds = max(end - begin, 1e-3)
    scale = WIDTH / seconds
    shapes = tuple(
        Shape(
            x=round((row.started_at - begin) * scale, 2),
            y=place[row.worker, row.slot] + 3,
            width=round(max(row.duration_s * scale, 0.6), 2),
            height=ROW - 6,
            outcome=row.outcome,
            title=f"{row.case}: {row.outcome}, {row.duration_s:.2f} s",
        )
        for row in drawn
        if row.slot
    )
    labels = tuple((place[row] + ROW - 7, f"{row[0]} {row[1]}") for row in rows)
    return Picture(shapes=shapes, labels=labels, height=max(ROW, len(rows) * ROW), seconds=seconds)


def durations(results: Sequence[Any], *, height: float = 120.0) -> Picture:
    """A bar for each result, the oldest first."""
    longest = max((row.duration_s for row in results), default=0.0) or 1e-3
    width = WIDTH / max(len(results), 10)
    shapes = tuple(
        Shape(
            x=round(index * width, 2),
            y=round(height - max(2.0, row.duration_s / longest * height), 2),
            width=round(width * 0.8, 2),
            height=round(max(2.0, row.duration_s / longest * height), 2),
            outcome=row.outcome,
            title=f"{row.duration_s:.2f} s, {row.outcome}, on {row.worker}",
        )
        for index, row in enumerate(results)
    )
    return Picture(shapes=shapes, labels=(), height=height, seconds=longest)


def advice(results: Sequence[Any]) -> str:
    """The shortest time that the same work could have taken, and what keeps it from being shorter."""
    slots = len({(row.worker, row.slot) for row in results if row.slot})
    if not slots:
        return ""
    total_s = sum(row.duration_s for row in results)
    longest = max(results, key=lambda row: row.duration_s)
    bound_s = max(total_s / slots, longest.duration_s)
    if longest.duration_s >= total_s / slots:
        return f"No schedule beats {bound_s:.1f} s: {longest.case} alone takes that long. Split it, or speed it up."
    more_s = total_s / slots - max(total_s / (slots + 1), longest.duration_s)
    on = "one slot" if slots == 1 else f"{slots} slots"
    return f"No schedule on {on} beats {bound_s:.1f} s. One more slot would save up to {more_s:.1f} s."
