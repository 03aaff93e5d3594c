"""What a machine answers when a test asks a library about its hardware: facts, as functions of an imagined machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dt_action.analysis.values import ROCM_AWARE, UNKNOWN, Count, HardwareMissingError, Result, Value
from dt_action.analysis.worlds import ALIKE, PLAIN, World

Fact = Callable[[World, Sequence[Value], Mapping[str, Value]], Value]
"""Answers a call in a world, given its positional and keyword arguments."""

DEVICE_NAMES: Final = {
    PLAIN: "cpu",
    "rocm": "cuda",
    "tpu": "xla",
    **{k: k for k in ("cuda", "mps", "xpu", "hpu", "npu")},
}
"""What torch calls the device of a machine; ROCm builds answer to `cuda`."""
KIND_OF_DEVICE: Final = {
    "cuda": ALIKE,
    "mps": ("mps",),
    "xpu": ("xpu",),
    "hpu": ("hpu",),
    "npu": ("npu",),
    "xla": ("tpu",),
}
JAX_NAMES: Final = {"cuda": "gpu", "rocm": "gpu", "tpu": "tpu"}
"""What jax calls the platform; it runs on the processor of any other machine."""


def has(*kinds: str) -> Fact:
    """True on a machine with one of `kinds`."""
    return lambda world, args, kwargs: _knows(world, kinds) and world.accelerator in kinds


def _knows(world: World, kinds: Sequence[str]) -> bool:
    if ("rocm" in kinds) != ("cuda" in kinds):
        world.gates.append(ROCM_AWARE)
    return True


def has_exactly_one_make(*kinds: str) -> Fact:
    """As `has`, for code that knows ROCm from CUDA and accepts both."""

    def fact(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> bool:
        world.gates.append(ROCM_AWARE)
        return world.accelerator in kinds

    return fact


def count_of(*kinds: str) -> Fact:
    """The number of devices of `kinds`."""
    return lambda world, args, kwargs: Count(kinds)


def any_accelerator(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> bool:
    """True on a machine with an accelerator of any kind."""
    world.gates.append(ROCM_AWARE)
    return world.accelerator != PLAIN


def axis(name: str) -> Fact:
    """True on a machine that has `name`, one of the kinds that stand beside an accelerator."""
    return lambda world, args, kwargs: bool(world.ask(name))


def result(kind: str, *kinds: str) -> Fact:
    """An object that only a machine with one of `kinds` can make."""

    def fact(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Result:
        if kinds and world.accelerator not in kinds:
            raise HardwareMissingError(kind)
        return Result(kind)

    return fact


def needs(*kinds: str) -> Fact:
    """Works only on a machine with one of `kinds`; what it gives is not known."""

    def fact(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        if world.accelerator not in kinds:
            raise HardwareMissingError(" or ".join(kinds))
        return UNKNOWN

    return fact


def needs_axis(name: str) -> Fact:
    """Works only on a machine that has `name`."""

    def fact(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        if not world.ask(name):
            raise HardwareMissingError(name)
        return Result(name)

    return fact


def needs_browser(name: str) -> Fact:
    """Works only where the browser is; `any` for any of them."""

    def fact(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        here = world.ask("browser")
        if not here or name not in ("any", here):
            raise HardwareMissingError(f"browser {name}")
        return UNKNOWN

    return fact


def constant(value: Value) -> Fact:
    """The same on every machine."""
    return lambda world, args, kwargs: value


def device_name(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> str:
    """What torch calls the device here, `cpu` on a plain machine."""
    return DEVICE_NAMES[world.accelerator]


def current_accelerator(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`torch.accelerator.current_accelerator()`: None on a plain machine."""
    world.gates.append(ROCM_AWARE)
    return None if world.accelerator == PLAIN else Result("accelerator")


def capability(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`torch.cuda.get_device_capability()`: (major, minor)."""
    kind = world.accelerator
    if kind == "cuda":
        return world.ask("arch")
    if kind == "rocm":
        return UNKNOWN
    raise HardwareMissingError("cuda")


def capability_at_least(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`has_device_capability(90)`, `(9, 0)` or `"9.0"`."""
    if world.accelerator != "cuda":
        return False
    wanted = _capability_of(args[0]) if args else None
    arch = world.ask("arch")
    return UNKNOWN if wanted is None or not isinstance(arch, tuple) else arch >= wanted


def newer_than(level: int) -> Fact:
    """True from a compute capability on, 89 being 8.9."""
    return lambda world, args, kwargs: capability_at_least(world, [level], {})


def gcn_arch(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`torch.cuda.get_device_properties(0).gcnArchName`."""
    world.gates.append(ROCM_AWARE)
    return world.ask("arch") if world.accelerator == "rocm" else UNKNOWN


def triton_backend(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> str:
    """`triton.runtime.driver.active.get_current_target().backend`."""
    world.gates.append(ROCM_AWARE)
    return {"cuda": "cuda", "rocm": "hip", "xpu": "xpu"}.get(world.accelerator, "cpu")


def _capability_of(value: Value) -> tuple[int, int] | None:
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d)?", value):
        major, _, minor = value.partition(".")
        return int(major), int(minor or 0)
    if isinstance(value, int):
        return divmod(value, 10)
    return value if isinstance(value, tuple) and len(value) == 2 else None


def jax_backend(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> str:
    """What jax calls the platform here."""
    world.gates.append(ROCM_AWARE)
    return JAX_NAMES.get(world.accelerator, "cpu")


def jax_matches(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`jtu.test_device_matches(["gpu", "tpu"])`."""
    world.gates.append(ROCM_AWARE)
    wanted = args[0] if args else UNKNOWN
    names = jax_words(world)
    return any(word in names for word in wanted) if isinstance(wanted, (list, tuple)) else UNKNOWN


def jax_words(world: World) -> frozenset[str]:
    """Every name by which jax's test decorators know the machine here."""
    kind = world.accelerator
    return frozenset({JAX_NAMES.get(kind, "cpu"), kind if kind in JAX_NAMES else "cpu"})


def providers(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[str]:
    """`onnxruntime.get_available_providers()`."""
    named = {"cuda": "CUDAExecutionProvider", "rocm": "ROCMExecutionProvider", "mps": "CoreMLExecutionProvider"}
    beside = {"qualcomm": "QNNExecutionProvider", "openvino": "OpenVINOExecutionProvider"}
    here = [named[world.accelerator]] if world.accelerator in named else []
    return here + [name for kind, name in beside.items() if world.ask(kind)] + ["CPUExecutionProvider"]


def openvino_devices(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[str]:
    """`openvino.Core().available_devices`."""
    return ["CPU", "GPU", "NPU"] if world.ask("openvino") else ["CPU"]


def tensorflow_devices(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`tf.config.list_physical_devices("GPU")`."""
    wanted = args[0] if args else UNKNOWN
    kinds = {"GPU": ALIKE, "TPU": ("tpu",)}.get(wanted) if isinstance(wanted, str) else None
    if kinds is None:
        return UNKNOWN
    return [UNKNOWN] * (world.count() if world.accelerator in kinds else 0)


def device_list(*kinds: str) -> Fact:
    """A list of as many unknown devices as the machine has of `kinds`."""
    return lambda world, args, kwargs: [UNKNOWN] * (world.count() if world.accelerator in kinds else 0)


def hip_version(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`torch.version.hip`: None except in a ROCm build."""
    world.gates.append(ROCM_AWARE)
    return Result("version") if world.accelerator == "rocm" else None


def cuda_version(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`torch.version.cuda`: None in a ROCm build, and in a build for the processor alone."""
    world.gates.append(ROCM_AWARE)
    return Result("version") if world.accelerator == "cuda" else None


def sys_platform(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> str:
    """`sys.platform`."""
    return {"windows": "win32"}.get(world.platform, world.platform)


def platform_system(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> str:
    """`platform.system()`."""
    return world.platform.capitalize()
