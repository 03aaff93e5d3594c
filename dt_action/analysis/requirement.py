"""From the machines on which a test was imagined to the requirement that tells them apart."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dt_action.analysis.values import GATE_AWARE, Gate
from dt_action.analysis.worlds import ACCELERATOR_KINDS, CUDA_ARCHES, OTHER_KINDS, PLAIN
from dt_action.model.hardware import NOTHING, Clause, DeviceNeed, Evidence, Requirement

SOFT_RULES: Final = frozenset({"device-use", "assert", "raise", "implicit-import"})
"""Gates that are failures, not skips: they can demand, and never exclude or say that a test runs nowhere."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One imagined machine: what was asked of it, and the gates that were closed."""

    choices: Mapping[str, Hashable]
    gates: frozenset[Gate]
    is_aware: bool = False

    @property
    def accelerator(self) -> str | None:
        """The kind here, `PLAIN`, or None where nothing asked."""
        kind = self.choices.get("accelerator")
        return None if kind is None else str(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a case needs. `never_runs` tells a case that no machine runs; its requirement is empty."""

    requirement: Requirement = NOTHING
    never_runs: bool = False
    gates: tuple[Gate, ...] = field(default=())


def leaf_of(choices: Mapping[str, Hashable], met: Iterable[Hashable]) -> Leaf:
    """A leaf from what a world noted."""
    noted = list(met)
    return Leaf(choices, frozenset(gate for gate in noted if isinstance(gate, Gate)), GATE_AWARE in noted)


def derive(leaves: Sequence[Leaf]) -> Needs:
    """
    The requirement that holds on exactly the machines where no gate is closed.

    A gate that is closed on a plain machine demands; one that is open there and closed on every machine of a kind
    excludes that kind. "cuda" on a machine that answers for AMD too means NVIDIA, unless a gate tells them apart.
    """
    leaves = _without_failures(leaves)
    if not any(leaf.gates for leaf in leaves):
        return Needs()
    open_leaves = [leaf for leaf in leaves if not leaf.gates]
    if not open_leaves:
        sites = {gate for leaf in leaves for gate in leaf.gates}
        return Needs(never_runs=True, gates=_ordered(sites))
    open_leaves = _usual_reading(open_leaves)
    demanding, excluded, excluding = _polarity(leaves)
    clauses = _clauses(open_leaves)
    platforms = _platforms(leaves, open_leaves)
    browser = _browser(open_leaves)
    memory = min((_number(leaf.choices.get("host_memory")) for leaf in open_leaves), default=0)
    cpus = min((_number(leaf.choices.get("cpu_count")) for leaf in open_leaves), default=0)
    if cpus > 1:
        clauses += (Clause(any_of=(DeviceNeed(kind="cpu", count=cpus),)),)
    gates = _ordered(demanding | excluding) if clauses or excluded or platforms or browser or memory else ()
    requirement = Requirement(
        all_of=clauses,
        excludes=excluded,
        browser=browser,
        platforms=platforms,
        min_memory_bytes=memory if memory > 4 * 1024**3 else 0,
        evidence=tuple(Evidence(file=gate.file, line=gate.line, rule=gate.rule) for gate in gates),
    )
    return Needs(requirement=requirement, gates=gates)


def _without_failures(leaves: Sequence[Leaf]) -> list[Leaf]:
    everywhere = frozenset.intersection(*(leaf.gates for leaf in leaves)) if leaves else frozenset()
    plain = [leaf.gates for leaf in leaves if leaf.accelerator in (None, PLAIN)]
    on_plain = frozenset.union(*plain) if plain else frozenset()
    soft = {gate for leaf in leaves for gate in leaf.gates if gate.rule in SOFT_RULES}
    dropped = (soft & everywhere) | (soft - on_plain)
    return [Leaf(leaf.choices, leaf.gates - dropped, leaf.is_aware) for leaf in leaves]


def _usual_reading(open_leaves: Sequence[Leaf]) -> list[Leaf]:
    kinds = {leaf.accelerator for leaf in open_leaves}
    if not {"cuda", "rocm"} <= kinds or PLAIN in kinds or None in kinds:
        return list(open_leaves)
    is_aware = any(leaf.is_aware for leaf in open_leaves if leaf.accelerator == "rocm")
    if is_aware:
        return list(open_leaves)
    return [leaf for leaf in open_leaves if leaf.accelerator != "rocm"]


def _polarity(leaves: Sequence[Leaf]) -> tuple[set[Gate], frozenset[str], set[Gate]]:
    """The gates that demand; the kinds that are excluded; the gates that exclude them."""
    plain = [leaf for leaf in leaves if leaf.accelerator in (None, PLAIN)]
    sites = {gate for leaf in leaves for gate in leaf.gates}
    excluded: set[str] = set()
    excluding: set[Gate] = set()
    for gate in sites:
        if not any(gate not in leaf.gates for leaf in plain):
            continue
        for kind in ACCELERATOR_KINDS:
            of_kind = [leaf for leaf in leaves if leaf.accelerator == kind]
            is_alias = kind == "rocm" and excluded_by(gate, leaves) == {"cuda", "rocm"}
            if is_alias and not any(leaf.is_aware for leaf in of_kind):
                continue  # "cuda" that answers for AMD too is NVIDIA, the usual reading
            if of_kind and all(gate in leaf.gates for leaf in of_kind):
                excluded.add(kind)
                excluding.add(gate)
        for kind in OTHER_KINDS:
            with_it = [leaf for leaf in leaves if leaf.choices.get(kind) is True]
            without = [leaf for leaf in leaves if leaf.choices.get(kind) is False]
            if (
                with_it
                and all(gate in leaf.gates for leaf in with_it)
                and not any(gate in leaf.gates for leaf in without)
            ):
                excluded.add(kind)
                excluding.add(gate)
    return sites - excluding, frozenset(excluded), excluding


def excluded_by(gate: Gate, leaves: Sequence[Leaf]) -> frozenset[str]:
    """The kinds of accelerator on every machine of which the gate is closed."""
    kinds = {leaf.accelerator for leaf in leaves if leaf.accelerator not in (None, PLAIN)}
    return frozenset(
        str(kind) for kind in kinds if all(gate in leaf.gates for leaf in leaves if leaf.accelerator == kind)
    )


def _clauses(open_leaves: Sequence[Leaf]) -> tuple[Clause, ...]:
    clauses = []
    kinds = {leaf.accelerator for leaf in open_leaves}
    if None not in kinds and PLAIN not in kinds:
        needs = [need for kind in ACCELERATOR_KINDS if kind in kinds for need in _device_needs(kind, open_leaves)]
        clauses.append(Clause(any_of=_merged(needs, kinds)))
    for kind in OTHER_KINDS:
        if all(leaf.choices.get(kind) is True for leaf in open_leaves):
            clauses.append(Clause(any_of=(DeviceNeed(kind=kind),)))  # type: ignore[arg-type]
    return tuple(clauses)


def _device_needs(kind: str, open_leaves: Sequence[Leaf]) -> list[DeviceNeed]:
    of_kind = [leaf for leaf in open_leaves if leaf.accelerator == kind]
    count = min(_number(leaf.choices.get("count")) or 1 for leaf in of_kind)
    memory = min(_number(leaf.choices.get("device_memory")) for leaf in of_kind)
    memory = 0 if memory <= 8 * 1024**3 else memory
    arches: set[Any] = {leaf.choices.get("arch") for leaf in of_kind}
    if None in arches:
        features: list[frozenset[str]] = [frozenset()]
    elif kind == "cuda":
        features = [_sm_feature(arches)]
    else:
        features = [frozenset({str(arch)}) for arch in sorted(arches)]
    return [DeviceNeed(kind=kind, count=count, memory_bytes=memory, features=feature) for feature in features]  # type: ignore[arg-type]


def _sm_feature(arches: set[Any]) -> frozenset[str]:
    """
    `sm90` for compute capability 9.0 or newer, `sm90a` for that generation alone (NVIDIA's name for it).

    A device that tells `sm90` among its features must tell every older level too.
    """
    lowest, highest = min(arches), max(arches)
    if arches == set(CUDA_ARCHES):
        return frozenset()
    name = f"sm{lowest[0]}{lowest[1]}"
    if highest == CUDA_ARCHES[-1]:
        return frozenset() if lowest == CUDA_ARCHES[0] else frozenset({name})
    return frozenset({f"{name}a"}) if len({arch[0] for arch in arches}) == 1 else frozenset({name})


def _merged(needs: Sequence[DeviceNeed], kinds: set[str | None]) -> tuple[DeviceNeed, ...]:
    """Every kind alike is one need of `gpu`."""
    alike = {(need.count, need.memory_bytes, need.features) for need in needs}
    if set(ACCELERATOR_KINDS) <= kinds and len(alike) == 1:
        first = needs[0]
        return (DeviceNeed(kind="gpu", count=first.count, memory_bytes=first.memory_bytes),)
    return tuple(needs)


def _platforms(leaves: Sequence[Leaf], open_leaves: Sequence[Leaf]) -> frozenset[str]:
    asked = {str(leaf.choices["platform"]) for leaf in leaves if "platform" in leaf.choices}
    if any("platform" not in leaf.choices for leaf in open_leaves):
        return frozenset()
    found = frozenset(str(leaf.choices["platform"]) for leaf in open_leaves)
    return frozenset() if found == asked else found


def _browser(open_leaves: Sequence[Leaf]) -> str:
    names = {str(leaf.choices.get("browser", "")) for leaf in open_leaves}
    if "" in names:
        return ""
    return names.pop() if len(names) == 1 else "any"


def _number(value: Hashable) -> int:
    return value if isinstance(value, int) else 0


def _ordered(gates: Iterable[Gate]) -> tuple[Gate, ...]:
    seen: dict[tuple[str, int, str], Gate] = {}
    for gate in sorted(gates, key=lambda gate: (gate.file, gate.line, gate.rule, gate.part)):
        seen.setdefault((gate.file, gate.line, gate.rule), gate)
    return tuple(seen.values())
