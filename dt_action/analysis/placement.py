"""Skip-aware feedback: which skips were a test sent to the wrong machine, and which rule was blind to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from dt_action.model.case import TestResult
from dt_action.model.hardware import (
    ACCELERATORS,
    Capability,
    Clause,
    DeviceNeed,
    Evidence,
    FileNeeds,
    Requirement,
)

_WORDS: Final = {
    "cuda": "cuda", "nvidia": "cuda", "gpu": "gpu", "gpus": "gpu", "accelerator": "gpu", "rocm": "rocm", "hip": "rocm",
    "mps": "mps", "xpu": "xpu", "hpu": "hpu", "gaudi": "hpu", "npu": "npu", "tpu": "tpu", "tpus": "tpu",
    "webgpu": "webgpu", "wgpu": "webgpu", "qnn": "qualcomm", "webnn": "webnn",
}  # fmt: skip
_UNWANTED: Final = re.compile(
    r"\b(not (supported|implemented|enabled)|unsupported|does ?n[o']t work|fails|skip(ped|ping)?) (on|for|in|with)\b"
)
_PLACE: Final = re.compile(r"(?P<file>[^\s:'\"(),]+\.py)['\"]?(?::|, line |, )(?P<line>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementMiss:
    """
    A case that skipped itself for hardware which its worker lacks, though the analysis did not ask for it.

    `wanted` is what it should have been asked for, to retry it by; `blind` says in words which rule saw too little.
    """

    case: str
    worker: str
    wanted: Requirement
    blind: str


def placement_misses(
    results: Iterable[TestResult],
    needs: Mapping[str, FileNeeds],
    capabilities: Mapping[str, Capability],
) -> tuple[PlacementMiss, ...]:
    """
    The skipped cases that another machine would have run.

    A skip counts where the worker satisfied all that was inferred, and the skip's message names a kind of device
    which the worker lacks. The message is only a hint for a second try: no requirement is ever inferred from it.
    A case whose known requirement the worker did not satisfy was skipped as foreseen, and is no miss.
    """
    found = []
    for result in results:
        if result.outcome != "skipped":
            continue
        capability = capabilities.get(result.final.worker)
        known = needs[result.case.file].of(result.case.name) if result.case.file in needs else result.case.requirement
        if capability is None or not capability.satisfies(known):
            continue
        kinds = _lacking(result.final.message, capability)
        if kinds:
            found.append(_miss(result, known, kinds))
    return tuple(found)


def _lacking(message: str, capability: Capability) -> tuple[str, ...]:
    """The kinds that a message asks for and the machine has not; none where it turns a kind away."""
    lowered = message.lower()
    if _UNWANTED.search(lowered):
        return ()
    named = dict.fromkeys(_WORDS[word] for word in re.findall(r"[a-z]+", lowered) if word in _WORDS)
    if len(named) > 1:
        named.pop("gpu", None)
    here = {device.kind for device in capability.devices}
    if any(kind in here or (kind == "gpu" and here & ACCELERATORS) for kind in named):
        return ()
    return tuple(named)


def _miss(result: TestResult, known: Requirement, kinds: tuple[str, ...]) -> PlacementMiss:
    place = _PLACE.search(f"{result.final.detail}\n{result.final.message}")
    file, line = (place["file"], int(place["line"])) if place else (result.case.file, result.case.line)
    at_line = [item.rule for item in known.evidence if item.line == line and item.file == file]
    if at_line:
        blind = f"{at_line[0]} read {file}:{line} as needing {known}"
    elif known.evidence:
        blind = f"no rule saw {file}:{line}; {known.evidence[0].rule} saw {known}"
    else:
        blind = f"no rule saw {file}:{line}"
    clause = Clause(any_of=tuple(DeviceNeed(kind=kind) for kind in kinds))  # type: ignore[arg-type]
    evidence = Evidence(file=file, line=line, rule="placement-miss")
    wanted = known.and_(Requirement(all_of=(clause,), evidence=(evidence,)))
    return PlacementMiss(case=result.case.id, worker=result.final.worker, wanted=wanted, blind=blind)
