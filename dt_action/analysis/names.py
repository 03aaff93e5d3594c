"""Reads the name of a mark or decorator that says which hardware it wants, such as `require_multi_gpu`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from dt_action.analysis.phrases import DEVICE_WORDS, Demand, Devices

KIND_WORDS: Final[dict[str, str]] = {
    "cuda": "cuda",
    "nvidia": "nvidia",
    "gpu": "gpu",
    "gpus": "gpu",
    "accelerator": "gpu",
    "accelerators": "gpu",
    "rocm": "rocm",
    "hip": "rocm",
    "mps": "mps",
    "metal": "mps",
    "xpu": "xpu",
    "npu": "npu",
    "npus": "npu",
    "ascend": "npu",
    "neuron": "npu",
    "neuroncore": "npu",
    "hpu": "hpu",
    "gaudi": "hpu",
    "habana": "hpu",
    "tpu": "tpu",
    "tpus": "tpu",
    "xla": "tpu",
    "webgpu": "webgpu",
    "wgpu": "webgpu",
    "webnn": "webnn",
    "qnn": "qualcomm",
    "hexagon": "qualcomm",
    "linux": "linux",
    "darwin": "darwin",
    "macos": "darwin",
    "osx": "darwin",
    "windows": "windows",
    "win32": "windows",
}
"""The device that a word of a name means, in the words of the vocabulary."""
_DEMANDS: Final = frozenset({"require", "requires", "required", "need", "needs", "only", "with", "run", "runs"})
_NEGATIONS: Final = frozenset({"no", "non", "not", "without", "isnt", "unavailable"})
_FILLERS: Final = frozenset(
    {"torch", "pytorch", "jax", "is", "available", "test", "tests", "a", "an", "the", "or", "and", "triton", "bf16",
     "fp16", "on", "if", "device", "devices", "at", "least", "only", "required", "two", "multiple", "large", "big",
     "for", "has", "have", "mark", "marks", "platform", "platforms", "backend", "hardware", "machine", "needed",
     "when", "unless", "support", "supported", "execution"}
)  # fmt: skip


@lru_cache(maxsize=4096)
def gate_of_decorator(name: str) -> Demand | None:
    """
    What a decorator's name demands, None where it does not say.

    `require_multi_gpu` needs two, `skip_if_no_xpu` needs one, `skipIfRocm` and `require_non_xpu` exclude.
    """
    first, *rest = words_of(name) or [""]
    if first in _DEMANDS and rest:
        return _read(rest, is_negative=False)
    if first in ("skip", "disable", "disabled") and rest:
        if rest[0] == "unless":
            return _read(rest[1:], is_negative=False)
        if rest[0] in ("if", "on", "when", "for", "in"):
            return _read(rest[1:], is_negative=True)
        if rest[0] in _NEGATIONS:
            return _read(rest, is_negative=True)
    return None


@lru_cache(maxsize=4096)
def polarity_of(name: str) -> bool | None:
    """
    For a decorator whose arguments name devices: False for a list of those to run on, True for one to skip on.

    `run_on_devices("gpu")`, `only_for(["cuda"])`; `skip_on_devices("tpu")`, `exclude_devices`, `skip_backend`. None
    where the name does not say.
    """
    words = words_of(name)
    if not words or not {"device", "devices", "backend", "backends", "platform", "platforms", "arch", "archs", "on",
                         "for", "accelerator", "accelerators", "target", "targets"} & set(words):  # fmt: skip
        return None
    if {"skip", "skips", "exclude", "excludes", "excluding", "except", "disable", "disabled", "not"} & set(words[:3]):
        return True
    if {"run", "runs", "only", "require", "requires", "needs", "enable", "allow"} & set(words[:3]):
        return False
    return None


@lru_cache(maxsize=4096)
def gate_of_mark(name: str) -> Demand | None:
    """What a selection mark says: `cuda`, `gpu_test`, `multi_gpu_tests`, `requires_gpu`, `only_on_tpu`."""
    words = words_of(name)
    if words and words[0] in ("skip", "xfail", "no", "not", "non", "without", "cpu"):
        return gate_of_decorator(name) if words[0] == "skip" else None
    return _read([word for word in words if word not in _DEMANDS], is_negative=False)


_ASKING: Final = frozenset(
    {"is", "has", "have", "can", "available", "test", "supports", "supported", "support", "enabled", "present",
     "exists", "usable", "found", "on", "detected"}
)  # fmt: skip
_COUNTING: Final = frozenset({"num", "n", "number", "count", "total"})
_PLAIN_WORDS: Final = frozenset(
    {"of", "get", "torch", "any", "a", "the", "built", "compiled", "with", "device", "devices", "platform", "alike",
     "current", "use", "lib"}
)  # fmt: skip
_DEVICE_NOUNS: Final = frozenset({"device", "backend", "target", "accelerator", "platform", "hardware"})


@lru_cache(maxsize=4096)
def question_of(name: str) -> Demand | None:
    """
    What a predicate's name asks: `has_cuda`, `HAS_GPU`, `cuda_available`, `is_not_rocm`. None where it does not say.

    As a demand: the predicate is true where a gate with that name would be open.
    """
    words = words_of(name)
    found = [DEVICE_WORDS[KIND_WORDS[word]] for word in words if word in KIND_WORDS]
    others = {word for word in words if word not in KIND_WORDS}
    if "alike" in others:
        found.append(DEVICE_WORDS["rocm"])
    if not found or not others & _ASKING or others - _ASKING - _PLAIN_WORDS - _NEGATIONS - {"or"}:
        return None
    return Demand(_joined(found), bool(others & _NEGATIONS))


@lru_cache(maxsize=4096)
def counted_by(name: str) -> Devices | None:
    """The devices that a function's name counts: `num_gpus`, `get_gpu_count`. None where it counts none."""
    words = words_of(name)
    found = [DEVICE_WORDS[KIND_WORDS[word]] for word in words if word in KIND_WORDS]
    others = {word for word in words if word not in KIND_WORDS}
    if not others & _COUNTING or others - _COUNTING - _PLAIN_WORDS - {"available", "visible", "stateless"}:
        return None
    if not found and others & {"device", "devices"}:
        return DEVICE_WORDS["gpu"]
    return found[0] if len(found) == 1 else None


@lru_cache(maxsize=4096)
def asks_capability(name: str) -> bool:
    """True for a predicate that is told a compute capability: `has_device_capability(90)`, `is_sm_at_least(9, 0)`."""
    words = set(words_of(name))
    return bool(words & {"capability", "cc", "sm", "compute"}) and bool(words & _ASKING | words & {"at", "least"})


@lru_cache(maxsize=4096)
def asks_about_argument(name: str) -> bool:
    """True for a predicate that is told the device: `device_available("cuda")`, `is_backend("rocm")`."""
    words = set(words_of(name))
    return bool(words & _DEVICE_NOUNS) and bool(words & _ASKING) and not words - _DEVICE_NOUNS - _ASKING - _PLAIN_WORDS


@lru_cache(maxsize=4096)
def is_device_name(name: str) -> bool:
    """True for a name that holds a device: `device_type`, `DEFAULT_DEVICE`, `get_device`, `current_platform`."""
    words = set(words_of(name))
    return bool(words & _HOLDERS) and not words - _HOLDERS - _ABOUT_DEVICES


_HOLDERS: Final = frozenset({"device", "accelerator", "platform"})
_ABOUT_DEVICES: Final = frozenset(
    {
        "type",
        "name",
        "kind",
        "lower",
        "default",
        "current",
        "get",
        "test",
        "torch",
        "my",
        "str",
        "the",
        "target",
        "self",
    }
)


@lru_cache(maxsize=4096)
def is_device_word(text: str) -> bool:
    """True for what libraries call a device, `cpu` among them: `cuda:0`, `gpu`, `WEBGPU`."""
    word = text.lower().partition(":")[0]
    return word in KIND_WORDS or word in ("cpu", "hip", "xla")


def says_something(name: str) -> bool:
    """True for a decorator that is judged by its name."""
    return gate_of_decorator(name) is not None or polarity_of(name) is not None


def words_of(name: str) -> list[str]:
    """`skipIfNoCUDA` -> skip, if, no, cuda."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+\d*[a-z]*|[A-Z]+\d*|\d+", name)]


def _read(words: Sequence[str], *, is_negative: bool) -> Demand | None:
    while words and words[0] in _NEGATIONS:
        is_negative = not is_negative
        words = words[1:]
    found: list[Devices] = []
    count = 1
    for position, word in enumerate(words):
        after = words[position + 1] if position + 1 < len(words) else ""
        if word in KIND_WORDS:
            found.append(DEVICE_WORDS[KIND_WORDS[word]])
        elif word in ("multi", "multiple", "two"):
            count = 2
        elif word.isdigit() and after in ("gpu", "gpus", "device", "devices", "npus", "tpus"):
            count = int(word)
        elif word not in _FILLERS and word != "single":
            return None
    if not found:
        return None
    return Demand(_joined(found), is_negative, count)


def _joined(found: Sequence[Devices]) -> Devices:
    """One of several: `cuda_or_rocm`. A name with one word of a make does not tell makes apart by itself."""
    return Devices(
        frozenset().union(*(devices.accelerators for devices in found)),
        tuple(other for devices in found for other in devices.others),
        any(devices.tells_makes for devices in found) or len(found) > 1,
    )
