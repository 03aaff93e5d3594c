"""From the machines on which a test was imagined to the requirement that tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dt_action.analysis.values import Gate
from dt_action.analysis.worlds import ACCELERATOR_KINDS, DOMAINS, GIB, OTHER_KINDS, PLAIN, Notes
from dt_action.model.hardware import NOTHING, Clause, DeviceNeed, Evidence, Requirement

SOFT_RULES: Final = frozenset({"device-use", "assert", "raise", "implicit-import"})
"""Gates that are failures, not skips: they can demand, and never exclude or say that a test runs nowhere."""
_HERE: Final = frozenset({True})


@dataclass(frozen=True, slots=True)
class Leaf:
    """
    Imagined machines that nothing told apart: what is possible there, and the gates that were closed.

    `accelerator` is their kind, `PLAIN`, or None where nothing asked. `tells_makes` says that a gate tells AMD's
    devices from NVIDIA's.
    """

    possible: Mapping[str, frozenset[Hashable]]
    gates: frozenset[Gate]
    tells_makes: bool = False
    accelerator: str | None = None

    def least(self, axis: str) -> int:
        """The least of a quantity that these machines may have; 0 where nothing asked."""
        values = self.possible.get(axis)
        return min(value for value in values if isinstance(value, int)) if values else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a case needs. `never_runs` tells a case that no machine runs; its requirement is empty."""

    requirement: Requirement = NOTHING
    never_runs: bool = False
    gates: tuple[Gate, ...] = field(default=())


def leaves_of(possible: Mapping[str, frozenset[Hashable]], *met: Notes) -> list[Leaf]:
    """The leaves, one a kind of accelerator, of machines that met what the notes say."""
    gates = frozenset(gate for notes in met for gate in notes.gates)
    leaf = Leaf(possible, gates, any(notes.gates_tell_makes for notes in met))
    kinds = possible.get("accelerator")
    if kinds is None:
        return [leaf]
    return [replace(leaf, accelerator=str(kind)) for kind in DOMAINS["accelerator"] if kind in kinds]


Probe = Callable[[str], Sequence[frozenset[Gate]]]
"""
The gates that are closed on each machine of a kind when they are reached, those behind others too.

A test ends at the first gate that is closed; whether a later one turns away a kind of accelerator, or whatever lacks
another, shows only beyond.
"""


def _unseen(kind: str) -> Sequence[frozenset[Gate]]:
    return ()


def derive(leaves: Sequence[Leaf], probe: Probe = _unseen) -> Needs:
    """
    The requirement that holds on exactly the machines where no gate is closed.

    A gate that is closed on a plain machine demands; one that is open there and closed on every machine of a kind
    excludes that kind. "cuda" on a machine that answers for AMD too means NVIDIA, unless a gate tells them apart.
    """
    leaves = _without_failures(leaves, probe)
    if not any(leaf.gates for leaf in leaves):
        return Needs()
    open_leaves = [leaf for leaf in leaves if not leaf.gates]
    if not open_leaves:
        sites = {gate for leaf in leaves for gate in leaf.gates}
        return Needs(never_runs=True, gates=_ordered(sites))
    open_leaves = _usual_reading(open_leaves)
    demanding, excluded, excluding = _polarity(leaves, probe)
    clauses = _clauses(open_leaves)
    platforms = _platforms(leaves, open_leaves)
    browser = _browser(open_leaves)
    memory = min(leaf.least("host_memory") for leaf in open_leaves)
    cpus = min(leaf.least("cpu_count") for leaf in open_leaves)
    if cpus > 1:
        clauses += (Clause(any_of=(DeviceNeed(kind="cpu", count=cpus),)),)
    gates = _ordered(demanding | excluding) if clauses or excluded or platforms or browser or memory else ()
    requirement = Requirement(
        all_of=clauses,
        excludes=excluded,
        browser=browser,
        platforms=platforms,
        min_memory_bytes=memory if memory > 4 * GIB else 0,
        evidence=tuple(Evidence(file=gate.file, line=gate.line, rule=gate.rule) for gate in gates),
    )
    return Needs(requirement=requirement, gates=gates)


def _without_failures(leaves: Sequence[Leaf], probe: Probe) -> list[Leaf]:
    """The leaves without failures that are everywhere, or only where there is a device: both are mistakes of ours."""
    soft = {gate for leaf in leaves for gate in leaf.gates if gate.rule in SOFT_RULES}
    if not soft:
        return list(leaves)
    everywhere = frozenset.intersection(*(leaf.gates for leaf in leaves))
    plain = [leaf.gates for leaf in leaves if leaf.accelerator in (None, PLAIN)]
    on_plain = frozenset().union(*plain)
    if plain and all(plain) and soft - on_plain:
        on_plain = on_plain.union(*probe(PLAIN))
    dropped = (soft & everywhere) | (soft - on_plain)
    return [replace(leaf, gates=leaf.gates - dropped) for leaf in leaves] if dropped else list(leaves)


def _usual_reading(open_leaves: Sequence[Leaf]) -> list[Leaf]:
    """
    The leaves that are open where "cuda" is read as NVIDIA, although AMD's devices answer to the name, too.

    Code that tells the two apart means what it says, and so does code that takes any accelerator but a few.
    """
    kinds = {leaf.accelerator for leaf in open_leaves}
    if not {"cuda", "rocm"} <= kinds or PLAIN in kinds or None in kinds or 2 * len(kinds) > len(ACCELERATOR_KINDS) + 1:
        return list(open_leaves)
    if any(leaf.tells_makes for leaf in open_leaves if leaf.accelerator == "rocm"):
        return list(open_leaves)
    return [leaf for leaf in open_leaves if leaf.accelerator != "rocm"]


def _polarity(leaves: Sequence[Leaf], probe: Probe) -> tuple[set[Gate], frozenset[str], set[Gate]]:
    """The gates that demand; the kinds that are excluded; the gates that exclude them."""
    plain = [leaf for leaf in leaves if leaf.accelerator in (None, PLAIN)]
    sites = {gate for leaf in leaves for gate in leaf.gates}
    excluded: set[str] = set()
    excluding: set[Gate] = set()
    for gate in sites:
        for kind in ACCELERATOR_KINDS if gate.rule not in SOFT_RULES else ():
            of_kind = [leaf for leaf in leaves if leaf.accelerator == kind]
            if not _is_closed_on(gate, kind, of_kind, probe):
                continue
            is_alias = kind == "rocm" and excluded_by(gate, leaves) == {"cuda", "rocm"}
            if is_alias and not any(leaf.tells_makes for leaf in of_kind):
                continue  # "cuda" that answers for AMD too is NVIDIA, the usual reading
            if _is_open_on_plain(gate, of_kind, plain, probe):
                excluded.add(kind)
                excluding.add(gate)
        for kind in OTHER_KINDS:
            with_it = [leaf for leaf in leaves if leaf.possible.get(kind) == _HERE]
            without = [leaf for leaf in leaves if leaf.possible.get(kind) == frozenset({False})]
            if (
                with_it
                and all(gate in leaf.gates for leaf in with_it)
                and not any(gate in leaf.gates for leaf in without)
            ):
                excluded.add(kind)
                excluding.add(gate)
    return sites - excluding, frozenset(excluded), excluding


def _is_closed_on(gate: Gate, kind: str, of_kind: Sequence[Leaf], probe: Probe) -> bool:
    """True where no machine of a kind passes a gate."""
    if not all(leaf.gates for leaf in of_kind) or not any(gate in leaf.gates for leaf in of_kind):
        return False
    if all(gate in leaf.gates for leaf in of_kind):
        return True
    beyond = probe(kind)
    return bool(beyond) and all(gate in gates for gates in beyond)


def _is_open_on_plain(gate: Gate, of_kind: Sequence[Leaf], plain: Sequence[Leaf], probe: Probe) -> bool:
    """True where a machine like one of `of_kind`, but without an accelerator, passes a gate that closes on those."""
    like = [other for other in plain if any(_differ_by_kind_alone(leaf, other) for leaf in of_kind)]
    if any(not other.gates for other in like):
        return True
    if gate.rule == "generated-param":
        return False  # which rows there would be was not asked where the test ends before its rows
    unreached = [other for other in like if gate not in other.gates]
    return bool(unreached) and not any(gate in gates for gates in probe(PLAIN))


def _differ_by_kind_alone(one: Leaf, other: Leaf) -> bool:
    """True where some machines of both have the same on every other axis."""
    return all(
        axis == "accelerator" or axis not in other.possible or not values.isdisjoint(other.possible[axis])
        for axis, values in one.possible.items()
    )


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
        if all(leaf.possible.get(kind) == _HERE for leaf in open_leaves):
            clauses.append(Clause(any_of=(DeviceNeed(kind=kind),)))  # type: ignore[arg-type]
    return tuple(clauses)


def _device_needs(kind: str, open_leaves: Sequence[Leaf]) -> list[DeviceNeed]:
    of_kind = [leaf for leaf in open_leaves if leaf.accelerator == kind]
    count = max(min(leaf.least("count") for leaf in of_kind), 1)
    memory = min(leaf.least("device_memory") for leaf in of_kind)
    memory = 0 if memory <= 8 * GIB else memory
    axis = f"{kind}_arch"
    whole = frozenset(DOMAINS.get(axis, ()))
    arches: frozenset[Any] = frozenset().union(*(leaf.possible.get(axis, whole) for leaf in of_kind))
    if arches == whole:
        features: list[frozenset[str]] = [frozenset()]
    elif kind == "cuda":
        features = [_sm_feature(arches)]
    else:
        features = [frozenset({str(arch)}) for arch in sorted(arches)]
    return [DeviceNeed(kind=kind, count=count, memory_bytes=memory, features=feature) for feature in features]  # type: ignore[arg-type]


def _sm_feature(arches: frozenset[Any]) -> frozenset[str]:
    """
    `sm90` for compute capability 9.0 or newer, `sm90a` for that generation alone (NVIDIA's name for it).

    A device that tells `sm90` among its features must tell every older level too.
    """
    lowest, highest = min(arches), max(arches)
    name = f"sm{lowest[0]}{lowest[1]}"
    known = DOMAINS["cuda_arch"]
    if highest == known[-1]:
        return frozenset() if lowest == known[0] else frozenset({name})
    return frozenset({f"{name}a"}) if len({arch[0] for arch in arches}) == 1 else frozenset({name})


def _merged(needs: Sequence[DeviceNeed], kinds: set[str | None]) -> tuple[DeviceNeed, ...]:
    """Every kind alike is one need of `gpu`."""
    alike = {(need.count, need.memory_bytes, need.features) for need in needs}
    if set(ACCELERATOR_KINDS) <= kinds and len(alike) == 1:
        first = needs[0]
        return (DeviceNeed(kind="gpu", count=first.count, memory_bytes=first.memory_bytes),)
    return tuple(needs)


def _platforms(leaves: Sequence[Leaf], open_leaves: Sequence[Leaf]) -> frozenset[Any]:
    if any("platform" not in leaf.possible for leaf in open_leaves):
        return frozenset()
    kinds = {leaf.accelerator for leaf in open_leaves}
    asked = frozenset().union(*(leaf.possible.get("platform", ()) for leaf in leaves if leaf.accelerator in kinds))
    found = frozenset().union(*(leaf.possible["platform"] for leaf in open_leaves))
    return frozenset() if found == asked else found


def _browser(open_leaves: Sequence[Leaf]) -> str:
    names = frozenset().union(*(leaf.possible.get("browser", {""}) for leaf in open_leaves))
    if "" in names:
        return ""
    return str(next(iter(names))) if len(names) == 1 else "any"


def _ordered(gates: Iterable[Gate]) -> tuple[Gate, ...]:
    seen: dict[tuple[str, int, str], Gate] = {}
    for gate in sorted(gates, key=lambda gate: (gate.file, gate.line, gate.rule, gate.part)):
        seen.setdefault((gate.file, gate.line, gate.rule), gate)
    return tuple(seen.values())
