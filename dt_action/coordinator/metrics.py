"""Counts for Prometheus: workers, runs, slots, and what each class of capability has waiting, running and idle."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from dt_action.coordinator.desk import Desk

SLOT_FEEDS_S = 60.0
"""One slot is asked for each minute of work that waits; a process for less would hardly pay for its start."""


def text(desk: Desk, *, is_in_maintenance: bool = False) -> str:
    """The exposition format of Prometheus. To be called by the writer's thread."""
    states = Counter("silent" if worker.is_silent else worker.state for worker in desk.workers.values())
    lines = [
        *_gauge("dt_workers", "workers by state", {("state", state): states[state] for state in _STATES}),
        *_gauge("dt_runs_live", "runs that are not over", {(): sum(not run.is_over for run in desk.runs.values())}),
        *_gauge("dt_maintenance", "1 where no new runs are taken", {(): int(is_in_maintenance)}),
        *_gauge("dt_leases", "slots at work", {(): len(desk.leases)}),
    ]
    slots, busy, waiting, waiting_s = _by_class(desk)
    classes = sorted({*slots, *waiting})
    desired = {name: busy[name] + math.ceil(waiting_s[name] / SLOT_FEEDS_S) for name in classes}
    idle = {name: max(0, slots[name] - busy[name]) for name in classes}
    for name, help_text, counts in (
        ("dt_class_slots_running", "slots at work, by class of capability", busy),
        ("dt_class_slots_idle", "slots without work, by class of capability", idle),
        ("dt_class_waiting", "pieces of work that wait, by class of capability", waiting),
        ("dt_class_waiting_seconds", "seconds that they are expected to take", waiting_s),
        ("dt_class_slots_desired", "slots that would have work; for an autoscaler", desired),
    ):
        lines += _gauge(name, help_text, {("class", label): counts[label] for label in classes})
    return "\n".join(lines) + "\n"


_STATES = ("active", "draining", "silent")


def _by_class(desk: Desk) -> tuple[Counter[str], Counter[str], Counter[str], dict[str, float]]:
    slots: Counter[str] = Counter()
    busy: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    waiting_s: dict[str, float] = {}
    for worker in desk.workers.values():
        if worker.state == "active" and not worker.is_silent:
            slots[_label(device.kind for device in worker.capability.devices)] += worker.slots
    for lease in desk.leases.values():
        holder = desk.workers.get(lease.worker)
        if holder is not None:
            busy[_label(device.kind for device in holder.capability.devices)] += 1
    for run in desk.runs.values():
        for need, expected_s in () if run.is_over else run.state.needs_waiting():
            name = _label(need.kinds)
            waiting[name] += 1
            waiting_s[name] = waiting_s.get(name, 0.0) + expected_s
    return slots, busy, waiting, {name: round(waiting_s.get(name, 0.0), 3) for name in {*slots, *waiting}}


def _label(kinds: Iterable[str]) -> str:
    return "+".join(sorted(set(kinds) - {"cpu"})) or "cpu"


def _gauge(name: str, help_text: str, values: Mapping[tuple[str, ...], float]) -> list[str]:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
    for label, value in values.items():
        shown = f'{{{label[0]}="{label[1]}"}}' if label else ""
        lines.append(f"{name}{shown} {value}")
    return lines
