"""Reads the name of a mark or decorator that says which hardware it wants, such as `require_multi_gpu`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dt_action.analysis.worlds import ACCELERATOR_KINDS, ALIKE, OTHER_KINDS, World

KIND_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "cuda": ALIKE,
    "nvidia": ("cuda",),
    "gpu": ACCELERATOR_KINDS,
    "gpus": ACCELERATOR_KINDS,
    "accelerator": ACCELERATOR_KINDS,
    "accelerators": ACCELERATOR_KINDS,
    "rocm": ("rocm",),
    "hip": ("rocm",),
    "mps": ("mps",),
    "xpu": ("xpu",),
    "npu": ("npu",),
    "ascend": ("npu",),
    "neuron": ("npu",),
    "neuroncore": ("npu",),
    "hpu": ("hpu",),
    "gaudi": ("hpu",),
    "habana": ("hpu",),
    "tpu": ("tpu",),
    "xla": ("tpu",),
    "webgpu": ("webgpu",),
    "wgpu": ("webgpu",),
    "webnn": ("webnn",),
    "qnn": ("qualcomm",),
    "hexagon": ("qualcomm",),
}
_DEMANDS: Final = frozenset({"require", "requires", "required", "need", "needs", "only", "with", "run"})
_NEGATIONS: Final = frozenset({"no", "non", "not", "without"})
_FILLERS: Final = frozenset(
    {"torch", "pytorch", "jax", "is", "available", "test", "tests", "a", "an", "the", "or", "and", "triton", "bf16",
     "fp16", "on", "if", "device", "devices", "at", "least", "only", "required", "two", "multiple", "large", "big"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NamedGate:
    """What a name asks for: one of `kinds`, or none of them; at least `count` devices, exactly one if `is_single`."""

    kinds: tuple[str, ...]
    is_negative: bool = False
    count: int = 1
    is_single: bool = False
    is_aware: bool = False

    def is_open(self, world: World) -> bool:
        """True on a machine that has what the name asks for."""
        beside = [kind for kind in self.kinds if kind in OTHER_KINDS]
        if beside:
            return any(bool(world.ask(kind)) for kind in beside) is not self.is_negative
        is_here = world.accelerator in self.kinds
        if self.is_negative:
            return not is_here
        if self.is_single:
            return is_here
        return is_here and (self.count == 1 or world.count() >= self.count)


@lru_cache(maxsize=4096)
def gate_of_decorator(name: str) -> NamedGate | None:
    """
    What a decorator's name demands, None where it does not say.

    `require_multi_gpu` needs two, `skip_if_no_xpu` needs one, `skipIfRocm` and `require_non_xpu` exclude.
    """
    first, *rest = words_of(name) or [""]
    if first in _DEMANDS and rest:
        return _read(rest, is_negative=False)
    if first == "skip" and rest:
        if rest[0] == "unless":
            return _read(rest[1:], is_negative=False)
        if rest[0] in ("if", "on", "when"):
            return _read(rest[1:], is_negative=True)
        if rest[0] in _NEGATIONS:
            return _read(rest, is_negative=True)
    return None


@lru_cache(maxsize=4096)
def gate_of_mark(name: str) -> NamedGate | None:
    """What a selection mark says: `cuda`, `gpu_test`, `multi_gpu_tests`, `requires_gpu`, `only_on_tpu`."""
    words = words_of(name)
    if words and words[0] in ("skip", "xfail", "no", "not", "non", "without", "cpu"):
        return gate_of_decorator(name) if words[0] == "skip" else None
    return _read([word for word in words if word not in _DEMANDS], is_negative=False)


def words_of(name: str) -> list[str]:
    """`skipIfNoCUDA` -> skip, if, no, cuda."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+\d*[a-z]*|[A-Z]+\d*|\d+", name)]


def _read(words: list[str], *, is_negative: bool) -> NamedGate | None:
    while words and words[0] in _NEGATIONS:
        is_negative = not is_negative
        words = words[1:]
    kinds: list[str] = []
    count, is_single = 1, False
    named: set[str] = set()
    for position, word in enumerate(words):
        if word in KIND_WORDS:
            kinds += KIND_WORDS[word]
            named.add(word)
        elif word in ("multi", "multiple", "two"):
            count = 2
        elif word == "single":
            is_single = True
        elif (
            word.isdigit() and position + 1 < len(words) and words[position + 1] in ("gpu", "gpus", "device", "devices")
        ):
            count = int(word)
        elif word not in _FILLERS:
            return None
    if not kinds:
        return None
    return NamedGate(
        tuple(dict.fromkeys(kinds)),
        is_negative=is_negative,
        count=count,
        is_single=is_single,
        is_aware=named != {"cuda"},
    )
