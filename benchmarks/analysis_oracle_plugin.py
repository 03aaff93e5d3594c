"""
A pytest plugin for `analysis_oracle.py`: an imagined machine, and which tests skip themselves on it.

Packages that are not installed are stood in for by stubs, whose every attribute is a stub again; torch's answers about
devices are those of the machine in `ORACLE_MACHINE`. No test runs: marks, decorators, hooks of conftest files and
skips while a module loads are what is seen. The result is written to `ORACLE_OUT` as JSON.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.metadata
import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MACHINE = os.environ["ORACLE_MACHINE"]
COUNT = 0 if MACHINE == "plain" else 2
IS_CUDA_API = MACHINE in ("cuda", "rocm")
_NEVER = {"hpu", "npu", "mlu", "musa", "sdaa", "neuron", "mtia", "__path__", "__wrapped__", "pytestmark", "__file__"}
_DEVICE_LIBRARIES = {
    "torch_npu": (), "torch_xla": (), "habana_frameworks": (), "torch_neuronx": (), "torch_mlu": (), "torch_musa": (),
    "torch_sdaa": (), "openvino": (),
    "intel_extension_for_pytorch": ("xpu",), "cupy": ("cuda", "rocm"), "cudf": ("cuda",), "pynvml": ("cuda",),
    "cuda": ("cuda",), "flash_attn": ("cuda", "rocm"), "flashinfer": ("cuda",), "aiter": ("rocm",),
}  # fmt: skip


class Stub:
    """An object of a library that is not here: whatever is asked of it is another one."""

    def __init__(self, name: str = "stub") -> None:
        self.__dict__["_name"] = name

    def __getattr__(self, name: str) -> Any:
        if name in _NEVER or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        return made(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A decorator gives back what it stands on."""
        only = args[0] if len(args) == 1 and not kwargs else None
        return only if isinstance(only, (types.FunctionType, type)) else Stub(f"{self._name}()")

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __getitem__(self, key: Any) -> Any:
        return Stub(f"{self._name}[]")

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__

    def __mro_entries__(self, bases: Any) -> Any:
        return (object,)

    def __lt__(self, other: Any) -> bool:
        return False

    def __le__(self, other: Any) -> bool:
        return True

    __gt__, __ge__ = __lt__, __le__

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *args: object) -> bool:
        return False


class _Meta(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") or name in _NEVER:
            raise AttributeError(name)
        return made(f"{cls.__name__}.{name}")


@functools.cache
def made(dotted: str) -> Any:
    """What a dotted name stands for: what the machine answers, a class where the last part is capitalised, a stub."""
    if dotted in ANSWERS:
        return ANSWERS[dotted]
    word = dotted.rpartition(".")[2]
    if word[:1].isupper() and not word.isupper():
        return _Meta(word, (), {"__init__": lambda self, *args, **kwargs: None, "__module__": "stub"})
    return Stub(dotted)


def _always(value: Any) -> Any:
    return lambda *args, **kwargs: value


class _Properties:
    major, minor, total_memory, multi_processor_count = 9, 0, 80 * 1024**3, 132
    name = MACHINE
    gcnArchName = "gfx942:sramecc+:xnack-"  # noqa: N815 - torch's name


class Device(str):
    """`torch.device`: enough of one to be compared."""

    __slots__ = ()
    type = property(lambda self: self.partition(":")[0])


_BACKEND = {"rocm": "hip"}.get(MACHINE, MACHINE)
_NAME = {"plain": "cpu", "rocm": "cuda"}.get(MACHINE, MACHINE)
ANSWERS: dict[str, Any] = {
    "torch.__version__": "2.9.0",
    "torch.device": lambda *args, **kwargs: Device(args[0]) if args and isinstance(args[0], str) else Device(_NAME),
    "torch.cuda.is_available": _always(IS_CUDA_API),
    "torch.cuda.device_count": _always(COUNT if IS_CUDA_API else 0),
    "torch.cuda.get_device_capability": _always((9, 0) if MACHINE == "cuda" else (9, 4)),
    "torch.cuda.get_device_properties": _always(_Properties),
    "torch.cuda.get_device_name": _always("NVIDIA H100" if MACHINE == "cuda" else "AMD Instinct MI300X"),
    "torch.cuda.is_bf16_supported": _always(IS_CUDA_API),
    "torch.version.hip": "6.4" if MACHINE == "rocm" else None,
    "torch.version.cuda": "12.8" if MACHINE in ("cuda", "plain") else None,
    "torch.version.xpu": None,
    "torch.xpu.is_available": _always(MACHINE == "xpu"),
    "torch.xpu.device_count": _always(COUNT if MACHINE == "xpu" else 0),
    "torch.backends.mps.is_available": _always(False),
    "torch.backends.mps.is_built": _always(False),
    "torch.mps.is_available": _always(False),
    "torch.accelerator.is_available": _always(MACHINE != "plain"),
    "torch.accelerator.device_count": _always(COUNT),
    "torch.accelerator.current_accelerator": _always(None if MACHINE == "plain" else Device(_NAME)),
    "torch.distributed.is_available": _always(True),
    "triton.runtime.driver.active.get_current_target": _always(types.SimpleNamespace(backend=_BACKEND, arch=90)),
}  # fmt: skip


class StubModule(types.ModuleType):
    """A package that is not installed."""

    __version__ = "99.0.0"

    def __getattr__(self, name: str) -> Any:
        if name in _NEVER or (name.startswith("__") and name != "__version__"):
            raise AttributeError(name)
        return made(f"{self.__name__}.{name}")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Comes last, so only what nobody else finds is stood in for: packages, and extensions that are not built."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """A package by that name, but for device libraries that the machine cannot have."""
        root = name.partition(".")[0]
        if MACHINE not in _DEVICE_LIBRARIES.get(root, (MACHINE,)) or root.startswith("_"):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> Any:
        """An empty package."""
        return StubModule(spec.name)

    def exec_module(self, module: Any) -> None:
        """There is nothing to run."""
        module.__dict__.setdefault("__path__", [])


sys.meta_path.append(Finder())
_version = importlib.metadata.version


def _any_version(name: str) -> str:
    try:
        return _version(name)
    except importlib.metadata.PackageNotFoundError:
        return "2.9.0" if name == "torch" else "99.0.0"


importlib.metadata.version = _any_version
_seen: dict[str, dict[str, bool]] = {}
_failed: dict[str, str] = {}


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that skips itself has no tests here; one that cannot be loaded says nothing."""
    path = report.nodeid.partition("::")[0]
    if report.failed:
        _failed[path] = str(report.longrepr).strip().rpartition("\n")[2]
    elif report.skipped:
        _seen.setdefault(path, {})["*"] = True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note which tests their marks and decorators skip."""
    from _pytest.skipping import evaluate_skip_marks

    for item in session.items:
        path, _, name = item.nodeid.partition("::")
        try:
            is_skipped = evaluate_skip_marks(item) is not None
        except Exception:  # a condition that the stubs do not carry
            _failed[path] = "a condition cannot be evaluated"
            continue
        holders = (getattr(item, "obj", None), getattr(item, "cls", None))
        is_skipped = is_skipped or any(getattr(holder, "__unittest_skip__", False) is True for holder in holders)
        _seen.setdefault(path, {})[name] = is_skipped


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Nothing runs."""
    Path(os.environ["ORACLE_OUT"]).write_text(json.dumps({"seen": _seen, "failed": _failed}))
    return True


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Also where nothing was collected."""
    pytest_runtestloop(session)
