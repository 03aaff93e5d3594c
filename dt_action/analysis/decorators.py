"""Skip decorators of well-known test libraries, for where their definition cannot be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dt_action.analysis import facts, names
from dt_action.analysis.values import GATE_AWARE, ROCM_AWARE, UNKNOWN, Mark, Noted, Unknown, Value, truth
from dt_action.analysis.worlds import ACCELERATOR_KINDS, ALIKE, GIB, PLAIN, World

if TYPE_CHECKING:
    from dt_action.analysis.execution import Executor

Open = Callable[[World, Sequence[Value], Mapping[str, Value]], "list[bool | Unknown]"]
"""The conditions under which a decorator lets the test run; each false one is a closed gate."""


def _one_of(*kinds: str, count: int = 1) -> Open:
    return lambda world, args, kwargs: [world.accelerator in kinds and (count == 1 or world.count() >= count)]


def _none_of(*kinds: str) -> Open:
    return lambda world, args, kwargs: [world.accelerator not in kinds]


def _count_given(*kinds: str, default: int = 2) -> Open:
    def conditions(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[bool | Unknown]:
        given = args[0] if args else next(iter(kwargs.values()), default)
        wanted = given if isinstance(given, int) else default
        return [world.accelerator in kinds and (wanted <= 1 or world.count() >= wanted)]

    return conditions


def _run_if(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[bool | Unknown]:
    conditions: list[bool | Unknown] = []
    gpus = kwargs.get("min_cuda_gpus", kwargs.get("min_gpus", 0))
    if isinstance(gpus, int) and gpus:
        conditions.append(world.accelerator in ALIKE and (gpus == 1 or world.count() >= gpus))
    if truth(kwargs.get("bf16_cuda", False)) is True:
        conditions.append(world.accelerator in ALIKE)
    if truth(kwargs.get("tpu", False)) is True:
        conditions.append(world.accelerator == "tpu")
    if truth(kwargs.get("hpu", False)) is True:
        conditions.append(world.accelerator == "hpu")
    if isinstance(kwargs.get("mps"), bool):
        conditions.append((world.accelerator == "mps") is kwargs["mps"])
    if truth(kwargs.get("skip_windows", False)) is True:
        conditions.append(world.platform != "windows")
    if truth(kwargs.get("linux_only", False)) is True:
        conditions.append(world.platform == "linux")
    return conditions


def _jax_kinds(words: Sequence[Value], world: World) -> bool | Unknown:
    flat = [word for item in words for word in (item if isinstance(item, (list, tuple)) else [item])]
    if any(not isinstance(word, str) for word in flat):
        return UNKNOWN
    world.gates.append(ROCM_AWARE)
    return any(word in facts.jax_words(world) for word in flat)


def _jax_run_on(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[bool | Unknown]:
    return [_jax_kinds(args, world)]


def _jax_skip_on(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[bool | Unknown]:
    verdict = _jax_kinds(args, world)
    return [verdict if isinstance(verdict, Unknown) else not verdict]


def _only_on(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[bool | Unknown]:
    wanted = args[0] if args else UNKNOWN
    if not isinstance(wanted, (str, list, tuple)):
        return [UNKNOWN]
    words = [wanted] if isinstance(wanted, str) else list(wanted)
    return [facts.DEVICE_NAMES[world.accelerator] in words]


def _memory_given(kind_word: str) -> Open:
    def conditions(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[bool | Unknown]:
        given = args[0] if args else next(iter(kwargs.values()), None)
        wanted = memory_bytes(given)
        is_here = world.accelerator in (ALIKE if kind_word == "cuda" else ACCELERATOR_KINDS)
        have = world.ask("device_memory") if is_here and wanted else 0
        return [is_here and (wanted == 0 or (isinstance(have, int) and have >= wanted))]

    return conditions


def memory_bytes(given: Value) -> int:
    """`24`, `24.0` (GiB), `"12GB"` in bytes; 0 where it is not known."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return int(given * GIB)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(G|M)i?B?\s*", given, re.IGNORECASE) if isinstance(given, str) else None
    if found is None:
        return 0
    return int(float(found[1]) * (GIB if found[2].upper() == "G" else 1024**2))


HUGGING_FACE: Final[dict[str, Open]] = {
    "require_torch_gpu": _one_of(*ALIKE),
    "require_cuda": _one_of(*ALIKE),
    "require_torch_multi_gpu": _one_of(*ALIKE, count=2),
    "require_multi_gpu": _one_of(*ALIKE, count=2),
    "require_single_gpu": _one_of(*ALIKE),
    "require_torch_large_gpu": _one_of(*ALIKE),
    "require_torch_bf16_gpu": _one_of(*ALIKE),
    "require_torch_tf32": _one_of(*ALIKE),
    "require_multi_device": _one_of(*ACCELERATOR_KINDS, count=2),
    "require_single_device": _one_of(*ACCELERATOR_KINDS),
    "require_non_cpu": _one_of(*ACCELERATOR_KINDS),
    "require_cpu": _one_of(PLAIN),
    "require_torch_accelerator_with_fp16": _one_of(*ACCELERATOR_KINDS),
    "require_torch_accelerator_with_fp64": _one_of(*ACCELERATOR_KINDS),
    "require_torch_accelerator_with_training": _one_of(*ACCELERATOR_KINDS),
    "require_torch_large_accelerator": _one_of(*ACCELERATOR_KINDS),
    "require_torch_multi_accelerator": _one_of(*ACCELERATOR_KINDS, count=2),
    "require_big_accelerator": _one_of(*ACCELERATOR_KINDS),
    "require_big_gpu_with_torch_cuda": _one_of(*ALIKE),
    "require_non_torch_xla": _none_of("tpu"),
    "require_deterministic_for_xpu": lambda world, args, kwargs: [],
    "require_flash_attn": _one_of(*ALIKE),
}
TORCH: Final[dict[str, Open]] = {
    "onlyCUDA": _one_of(*ALIKE),
    "onlyMPS": _one_of("mps"),
    "onlyXPU": _one_of("xpu"),
    "onlyHPU": _one_of("hpu"),
    "onlyAccelerator": _one_of(*ACCELERATOR_KINDS),
    "onlyCPU": lambda world, args, kwargs: [],
    "onlyOn": _only_on,
    "onlyNativeDeviceTypes": lambda world, args, kwargs: [],
    "skipIfRocm": _none_of("rocm"),
    "skipIfXpu": _none_of("xpu"),
    "skipIfHpu": _none_of("hpu"),
    "skipIfMPS": _none_of("mps"),
    "skipIfMps": _none_of("mps"),
    "skipCUDAIfRocm": _none_of("rocm"),
    "skip_if_rocm_multiprocess": _none_of("rocm"),
    "skip_if_lt_x_gpu": _count_given(*ACCELERATOR_KINDS),
    "requires_multigpu": _one_of(*ALIKE, count=2),
    "requires_cuda_and_triton": _one_of(*ALIKE),
    "requires_cuda": _one_of(*ALIKE),
    "skipIfNoCuda": _one_of(*ALIKE),
    "largeCUDATensorTest": _memory_given("cuda"),
}
LIGHTNING: Final[dict[str, Open]] = {"RunIf": _run_if}
JAX: Final[dict[str, Open]] = {"run_on_devices": _jax_run_on, "skip_on_devices": _jax_skip_on}
CUPY: Final[dict[str, Open]] = {"multi_gpu": _count_given(*ALIKE)}
VLLM: Final[dict[str, Open]] = {
    "multi_gpu_test": _count_given(*ACCELERATOR_KINDS),
    "multi_gpu_only": _count_given(*ACCELERATOR_KINDS),
    "large_gpu_test": _memory_given("gpu"),
}
TENSORFLOW: Final[dict[str, Open]] = {"run_gpu_only": _one_of(*ALIKE), "run_cuda_only": _one_of("cuda")}
KNOWN: Final[dict[str, Open]] = {**HUGGING_FACE, **TORCH, **LIGHTNING, **JAX, **CUPY, **VLLM, **TENSORFLOW}
_AWARE: Final = frozenset(name for name, _ in KNOWN.items() if "Rocm" in name or "rocm" in name) | {
    "require_flash_attn",
    "multi_gpu",
    "skip_if_lt_x_gpu",
    "run_gpu_only",
}


def is_known(name: str) -> bool:
    """True where the last part of a dotted name is a decorator of the tables, or speaks for itself."""
    word = name.rpartition(".")[2]
    return word in KNOWN or names.gate_of_decorator(word) is not None


def by_name(
    executor: Executor, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], path: str, line: int
) -> Mark | None:
    """
    The mark that a known decorator makes, None for any other name.

    Rule `known-decorator`. Before: `@RunIf(min_cuda_gpus=2)`. After: the test requires two cuda devices.
    """
    word = name.rpartition(".")[2]
    conditions = KNOWN.get(word)
    if conditions is not None:
        verdicts = conditions(executor.world, args, kwargs)
        gates: list[Noted] = [
            executor.gate(path, line, "known-decorator", part)
            for part, is_open in enumerate(verdicts)
            if is_open is False
        ]
        if word in _AWARE or not set(verdicts):
            gates.append(GATE_AWARE)
        return Mark(word, tuple(gates), file=path, line=line)
    named = names.gate_of_decorator(word)
    if named is None:
        return None
    return Mark(word, closed_by_name(executor, named, path, line, "known-decorator"), file=path, line=line)


def closed_by_name(executor: Executor, named: names.NamedGate, path: str, line: int, rule: str) -> tuple[Noted, ...]:
    """The gate that a name speaks of, where it is closed here."""
    if named.is_open(executor.world):
        return (GATE_AWARE,) if named.is_aware else ()
    return (executor.gate(path, line, rule),)
