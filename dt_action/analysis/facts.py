"""What a machine answers where no phrase of the vocabulary can say it: named facts, as functions of a machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from dt_action.analysis.values import UNKNOWN, Choice, Count, HardwareMissingError, Result, Value
from dt_action.analysis.worlds import ACCELERATOR_KINDS, DOMAINS, World

Fact = Callable[[World, Sequence[Value], Mapping[str, Value]], Value]
"""Answers a call in a world, given its positional and keyword arguments."""

CUDA_API: Final = frozenset({"cuda", "rocm"})
"""Kinds that answer to the name `cuda`, since ROCm builds of the frameworks keep it."""
CUDA, ROCM, MPS, TPU = frozenset({"cuda"}), frozenset({"rocm"}), frozenset({"mps"}), frozenset({"tpu"})
ACCELERATORS: Final = frozenset(ACCELERATOR_KINDS)


def by_kind(names: Mapping[str, Value], default: Value) -> Choice:
    """A value that hangs on the kind of accelerator alone."""
    return Choice("accelerator", tuple((kind, names.get(str(kind), default)) for kind in DOMAINS["accelerator"]))


DEVICE_NAMES: Final = {
    "rocm": "cuda",
    "tpu": "xla",
    **{kind: kind for kind in ("cuda", "mps", "xpu", "hpu", "npu")},
}
"""What torch calls the device of a machine; ROCm builds answer to `cuda`."""
KIND_OF_DEVICE: Final = {
    "cuda": CUDA_API,
    "mps": MPS,
    "xpu": frozenset({"xpu"}),
    "hpu": frozenset({"hpu"}),
    "npu": frozenset({"npu"}),
    "xla": TPU,
}
_TORCH_NAME: Final = by_kind(DEVICE_NAMES, "cpu")
_JAX_NAME: Final = by_kind({"cuda": "gpu", "rocm": "gpu", "tpu": "tpu"}, "cpu")
"""What jax calls the platform; it runs on the processor of any other machine."""
_TRITON_NAME: Final = by_kind({"cuda": "cuda", "rocm": "hip", "xpu": "xpu"}, "cpu")
_CUDA_ARCH: Final = Choice("cuda_arch", tuple((arch, arch) for arch in DOMAINS["cuda_arch"]))
_ROCM_ARCH: Final = Choice("rocm_arch", tuple((arch, arch) for arch in DOMAINS["rocm_arch"]))
_SOME: Final = Choice("count", tuple((count, [UNKNOWN] * int(str(count))) for count in DOMAINS["count"]))
_JAX_DEVICES: Final = Choice(
    "count", tuple((count, [Result("jax_device")] * int(str(count))) for count in DOMAINS["count"])
)


def _axis(name: str) -> Fact:
    whole = Choice(name, tuple((value, value) for value in DOMAINS[name]))
    return lambda world, args, kwargs: whole


def _one(value: Value) -> Fact:
    return lambda world, args, kwargs: value


def _telling_makes(value: Value) -> Fact:
    """The same, for code that knows AMD's devices from NVIDIA's."""

    def fact(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        world.notes.tells_makes = True
        return value

    return fact


def _current_accelerator(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`torch.accelerator.current_accelerator()`: None on a plain machine."""
    return Result("torch_accelerator") if world.has(ACCELERATORS, tells_makes=True) else None


def _torch_device(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`torch.device("cuda", 1)` is kept as its name."""
    name = args[0] if args else kwargs.get("type", UNKNOWN)
    index = args[1] if len(args) > 1 else kwargs.get("index", UNKNOWN)
    return f"{name}:{index}" if isinstance(name, str) and isinstance(index, int) else name


def _capability(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`torch.cuda.get_device_capability()`: (major, minor)."""
    if not world.has(CUDA_API):
        raise HardwareMissingError("cuda")
    return _CUDA_ARCH if _is_nvidia(world) else UNKNOWN


def _is_nvidia(world: World) -> bool:
    """Tells NVIDIA's devices from AMD's where the question is ours, and not one of the code."""
    return world.is_in("accelerator", CUDA)


def capability_at_least(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`has_device_capability(90)`, `(9, 0)` or `"9.0"`."""
    if not _is_nvidia(world):
        return False
    given = [*args, *kwargs.values()]
    wanted = _capability_of(given[0] if len(given) == 1 else tuple(given[:2])) if given else None
    if wanted is None:
        return UNKNOWN
    return world.is_in("cuda_arch", frozenset(arch for arch in DOMAINS["cuda_arch"] if arch >= wanted))  # type: ignore[operator]


def _is_capability(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`is_device_capability(90)`: that very one."""
    wanted = _capability_of(args[0]) if args else None
    return _is_nvidia(world) and (UNKNOWN if wanted is None else world.is_in("cuda_arch", frozenset({wanted})))


def _is_capability_family(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`is_device_capability_family(100)`: the same major number."""
    wanted = _capability_of(args[0]) if args else None
    if not _is_nvidia(world):
        return False
    if wanted is None:
        return UNKNOWN
    return world.is_in("cuda_arch", frozenset(arch for arch in DOMAINS["cuda_arch"] if _major(arch) == wanted[0]))


def _major(arch: Hashable) -> int:
    return arch[0] if isinstance(arch, tuple) else 0


def _capability_of(value: Value) -> tuple[int, int] | None:
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d)?", value):
        major, _, minor = value.partition(".")
        return int(major), int(minor or 0)
    if isinstance(value, int):
        return divmod(value, 10)
    return value if isinstance(value, tuple) and len(value) == 2 and all(isinstance(n, int) for n in value) else None


def _of_arch(pick: Callable[[Any], Value]) -> Fact:
    """A part of the compute capability, on a machine that has one."""
    parts = Choice("cuda_arch", tuple((arch, pick(arch)) for arch in DOMAINS["cuda_arch"]))
    return lambda world, args, kwargs: parts if _is_nvidia(world) else UNKNOWN


def _gcn_arch(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`torch.cuda.get_device_properties(0).gcnArchName`."""
    return _ROCM_ARCH if world.has(ROCM) else UNKNOWN


def _rocm_arch_among(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`is_rocm_arch("gfx942")`, or a list of them."""
    if not world.has(ROCM):
        return False
    wanted = [word for value in args for word in (value if isinstance(value, (list, tuple, set)) else [value])]
    if not wanted or not all(isinstance(word, str) for word in wanted):
        return UNKNOWN
    return world.is_in("rocm_arch", frozenset(arch for arch in DOMAINS["rocm_arch"] if arch in wanted))


def _rocm_families(*starts: str) -> Fact:
    """`on_mi3xx()`: one of the generations whose names begin so."""
    arches = frozenset(arch for arch in DOMAINS["rocm_arch"] if str(arch).startswith(starts))
    return lambda world, args, kwargs: world.has(ROCM) and world.is_in("rocm_arch", arches)


def _jax_matches(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`jtu.test_device_matches(["gpu", "tpu"])`."""
    wanted = args[0] if args else UNKNOWN
    if not isinstance(wanted, (list, tuple, set)) or not all(isinstance(word, str) for word in wanted):
        return UNKNOWN
    kinds = frozenset(kind for kind in DOMAINS["accelerator"] if not _jax_words(str(kind)).isdisjoint(wanted))
    return world.has(kinds, tells_makes=True)  # type: ignore[arg-type]


def _jax_words(kind: str) -> frozenset[str]:
    """Every name by which jax's test decorators know a machine."""
    words = {"cuda": {"gpu", "cuda"}, "rocm": {"gpu", "rocm"}, "tpu": {"tpu"}}
    return frozenset(words.get(kind, {"cpu"}))


def _jax_devices(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`jax.devices()`, or those of a platform, which fails where there are none."""
    wanted = args[0] if args else kwargs.get("backend")
    kinds = {"gpu": CUDA_API, "cuda": CUDA, "rocm": ROCM, "tpu": TPU}.get(wanted) if isinstance(wanted, str) else None
    if kinds is not None and not world.has(kinds):
        raise HardwareMissingError(f"device {wanted}")
    if wanted is not None and kinds is None:
        return UNKNOWN
    return _JAX_DEVICES if world.has(ACCELERATORS) else [Result("jax_device")]


def _providers(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[str]:
    """`onnxruntime.get_available_providers()`."""
    named = {
        "cuda": ["CUDAExecutionProvider"],
        "rocm": ["ROCMExecutionProvider", "MIGraphXExecutionProvider"],
        "mps": ["CoreMLExecutionProvider"],
        "npu": ["CANNExecutionProvider"],
    }
    here = next((names for kind, names in named.items() if world.is_in("accelerator", frozenset({kind}))), [])
    beside = {"qualcomm": "QNNExecutionProvider", "openvino": "OpenVINOExecutionProvider"}
    have = frozenset({True})
    return here + [name for kind, name in beside.items() if world.is_in(kind, have)] + ["CPUExecutionProvider"]


def _openvino_devices(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[str]:
    """`openvino.Core().available_devices`."""
    return ["CPU", "GPU", "NPU"] if world.is_in("openvino", frozenset({True})) else ["CPU"]


def _tensorflow_devices(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`tf.config.list_physical_devices("GPU")`."""
    wanted = args[0] if args else kwargs.get("device_type", UNKNOWN)
    kinds = {"GPU": CUDA_API, "TPU": TPU}.get(wanted) if isinstance(wanted, str) else None
    if kinds is None:
        return UNKNOWN
    return _SOME if world.has(kinds) else []


def _warp_devices(*others: str) -> Fact:
    """`get_test_devices()` of warp's tests: the processor and the first device."""
    return lambda world, args, kwargs: [*others, *(["cuda:0"] if world.has(CUDA) else [])]


def _wgpu_adapters(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    return [UNKNOWN] if world.is_in("webgpu", frozenset({True})) else []


def _backend_count(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`get_backend()` of Hugging Face's test helpers: the device, how many, and how memory is told."""
    return (_TORCH_NAME, Count(ACCELERATORS, 1), UNKNOWN)


_TOOLS: Final = {"nvidia-smi": CUDA, "rocm-smi": ROCM, "rocminfo": ROCM, "amd-smi": ROCM, "xpu-smi": frozenset({"xpu"})}


def _tool(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """`shutil.which("nvidia-smi")`, a program that comes with the driver."""
    kinds = _TOOLS.get(args[0]) if args and isinstance(args[0], str) else None
    if kinds is None:
        return UNKNOWN
    return f"/usr/bin/{args[0]}" if world.has(kinds) else None


def _windows(yes: str, no: str) -> Choice:
    return Choice("platform", tuple((name, yes if name == "windows" else no) for name in DOMAINS["platform"]))


_SYS_PLATFORM: Final = Choice(
    "platform", tuple((name, "win32" if name == "windows" else name) for name in DOMAINS["platform"])
)
_PLATFORM_SYSTEM: Final = Choice("platform", tuple((name, str(name).capitalize()) for name in DOMAINS["platform"]))

FACTS: Final[Mapping[str, Fact]] = {
    "device name": _one(_TORCH_NAME),
    "device name, knowing makes": _telling_makes(_TORCH_NAME),
    "current accelerator": _current_accelerator,
    "torch device": _torch_device,
    "capability": _capability,
    "capability is at least": capability_at_least,
    "capability is": _is_capability,
    "capability family is": _is_capability_family,
    "rocm architecture is among": _rocm_arch_among,
    "rocm architecture is gfx9": _rocm_families("gfx9"),
    "rocm architecture is gfx94 or gfx95": _rocm_families("gfx94", "gfx95"),
    "rocm architecture is gfx950": _rocm_families("gfx950"),
    "rocm architecture is gfx11": _rocm_families("gfx11"),
    "jax platform": _telling_makes(_JAX_NAME),
    "jax platform is among": _jax_matches,
    "jax devices": _jax_devices,
    "onnxruntime providers": _providers,
    "openvino devices": _openvino_devices,
    "tensorflow devices": _tensorflow_devices,
    "triton backend": _telling_makes(_TRITON_NAME),
    "warp devices": _warp_devices("cpu"),
    "warp cuda devices": _warp_devices(),
    "webgpu adapters": _wgpu_adapters,
    "backend with count": _backend_count,
    "platform as sys": _one(_SYS_PLATFORM),
    "platform as system": _one(_PLATFORM_SYSTEM),
    "platform as os": _one(_windows("nt", "posix")),
    "tool of a driver": _tool,
    "count of processors": _axis("cpu_count"),
    "memory of the machine": _axis("host_memory"),
    "memory of a device": _axis("device_memory"),
    "capability, major": _of_arch(lambda arch: arch[0]),
    "capability, minor": _of_arch(lambda arch: arch[1]),
    "gcn architecture": _gcn_arch,
}
"""Facts by the name under which a row of the vocabulary gives them: `the capability`."""
