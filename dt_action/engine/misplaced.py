"""Skip-aware feedback: which skip was a test sent to the wrong machine, and which rule of the analysis was blind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dt_action.model.case import Attempt, TestCase
from dt_action.model.hardware import ACCELERATORS, Capability, Clause, DeviceNeed, Evidence, Requirement

_WORDS: Final = {
    "cuda": "cuda", "nvidia": "cuda", "gpu": "gpu", "gpus": "gpu", "accelerator": "gpu", "rocm": "rocm", "hip": "rocm",
    "mps": "mps", "xpu": "xpu", "hpu": "hpu", "gaudi": "hpu", "npu": "npu", "tpu": "tpu", "tpus": "tpu",
    "webgpu": "webgpu", "wgpu": "webgpu", "qnn": "qualcomm", "webnn": "webnn",
}  # fmt: skip
_UNWANTED: Final = re.compile(
    r"\b(not (supported|implemented|enabled)|unsupported|does ?n[o']t work|fails|skip(ped|ping)?) (on|for|in|with)\b"
)
_PLACE: Final = re.compile(r"(?P<file>[^\s:'\"(),]+\.py)['\"]?(?::|, line |, )(?P<line>\d{1,7})")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementMiss:
    """
    A case that skipped itself for hardware which its worker lacks, though the analysis did not ask for it.

    `wanted` is what it should have been asked for, to try it again by; `blind` says in words which rule saw too little.
    """

    wanted: Requirement
    blind: str


def placement_miss(case: TestCase, attempt: Attempt, capability: Capability) -> PlacementMiss | None:
    """
    What a skip tells, where another machine would have run the case; else None.

    A skip counts where the worker satisfied all that was known to be needed, and the skip's message names a kind of
    device which the worker lacks. The message is only a hint for a second try: no requirement is ever inferred from
    it. A case whose known requirement the worker did not satisfy was skipped as foreseen, and is no miss.
    """
    if attempt.outcome != "skipped" or not capability.satisfies(case.requirement):
        return None
    kinds = _lacking(attempt.message, capability)
    if not kinds:
        return None
    known = case.requirement
    place = _PLACE.search(f"{attempt.detail}\n{attempt.message}")
    file, line = (place["file"], int(place["line"])) if place else (case.file, case.line)
    clause = Clause(any_of=tuple(DeviceNeed(kind=kind) for kind in kinds))  # type: ignore[arg-type]
    evidence = Evidence(file=file, line=line, rule="placement-miss")
    return PlacementMiss(
        wanted=known.and_(Requirement(all_of=(clause,), evidence=(evidence,))), blind=_blind(known, file, line)
    )


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


def _blind(known: Requirement, file: str, line: int) -> str:
    at_line = [item.rule for item in known.evidence if item.line == line and item.file == file]
    if at_line:
        return f"{at_line[0]} read {file}:{line} as needing {known}"
    if known.evidence:
        return f"no rule saw {file}:{line}; {known.evidence[0].rule} saw {known}"
    return f"no rule saw {file}:{line}"
