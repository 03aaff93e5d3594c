"""Whose turn it is: which run gets a free place, and which one yields. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dt_action.model.hardware import Capability
from dt_action.model.plan import Plan
from dt_action.remote.wire import IN_CONTAINERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that could use one more slot of a worker. `repository_slots` is how many its repository has already."""

    run: str
    priority: int
    repository_slots: int
    created_at: float
    repository: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A lease that has a slot of the worker; `is_resting` tells that it has nothing to do."""

    lease: str
    priority: int
    repository_slots: int
    is_resting: bool = False


def best(claims: Sequence[Claim]) -> Claim | None:
    """The highest priority, then the repository that has the least, then the oldest run."""
    return min(claims, key=lambda claim: (-claim.priority, claim.repository_slots, claim.created_at), default=None)


def most_deserving(claims: Sequence[Claim]) -> str | None:
    """The run that gets the next free slot."""
    claim = best(claims)
    return None if claim is None else claim.run


def who_yields(claim: Claim, holders: Sequence[Holder]) -> str | None:
    """
    The lease that makes way for `claim`, after what it has in hand: a resting one, one of lower priority, or one of
    a repository that would still have as much as the claim's after the change. None where all are in their right.
    """
    for holder in sorted(
        holders, key=lambda holder: (not holder.is_resting, holder.priority, -holder.repository_slots)
    ):
        has_more = holder.priority == claim.priority and holder.repository_slots > claim.repository_slots + 1
        if holder.is_resting or holder.priority < claim.priority or has_more:
            return holder.lease
    return None


def takes(capability: Capability, isolation: str) -> bool:
    """True where a worker isolates tests at least as the run asks; processes every worker has."""
    return isolation != "container" or IN_CONTAINERS in capability.labels


def infeasible(plan: Plan, capabilities: Mapping[str, Capability], isolation: str = "session") -> list[str]:
    """The files of which something can run on no worker, with the reasons; at most 100."""
    capabilities = {name: had for name, had in capabilities.items() if takes(had, isolation)}
    if not capabilities:
        which = " that runs tests in containers" if isolation == "container" else ""
        return [f"no worker{which} has enrolled yet; the run waits for one"]
    told = []
    for file in plan.files:
        for need in {file.needs.default, *file.needs.cases.values()}:
            if not need.enforced or any(had.satisfies(need) for had in capabilities.values()):
                continue
            reasons = "; ".join(f"{name}: {capabilities[name].why_not(need)}" for name in sorted(capabilities))
            told.append(f"{file.path} needs {need}, which no worker has ({reasons})")
    return told[:100]
