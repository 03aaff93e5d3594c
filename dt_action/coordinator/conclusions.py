"""What a run says as a whole, from what the coordinator keeps of it, in the words of `model.run.Run.conclusion`."""

from __future__ import annotations

from collections.abc import Mapping

from dt_action.model.case import FAILING

CONCLUSIONS = ("running", "passed", "failed", "incomplete", "cancelled", "timeout", "skipped", "no-tests")


def failing(totals: Mapping[str, int]) -> int:
    """How many results make the run red."""
    return sum(totals.get(outcome, 0) for outcome in FAILING)


def conclusion_of(status: str, totals: Mapping[str, int]) -> str:
    """
    The conclusion of a run with this status (`running`, `completed`, `stopped`, ...) and these counts by outcome.

    A failure outranks everything, since it is certain. What was planned and did not report is never green.
    """
    if failing(totals):
        return "running" if status == "running" else "failed"
    if status in ("running", "cancelled", "timeout"):
        return status
    if totals.get("lost") or totals.get("unplaced") or status == "stopped":
        return "incomplete"
    if any(totals.get(outcome) for outcome in ("passed", "xpassed", "xfailed")):
        return "passed"
    return "skipped" if totals.get("skipped") else "no-tests"
