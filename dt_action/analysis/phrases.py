"""The language of the vocabulary's rows: what a name says of hardware, in a phrase such as `requires cuda >= 2`."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dt_action.analysis.facts import FACTS, Fact, capability_at_least
from dt_action.analysis.values import UNKNOWN, Choice, Count, HardwareMissingError, Result, Unknown, Value, truth
from dt_action.analysis.worlds import ACCELERATOR_KINDS, DOMAINS, GIB, OTHER_KINDS, PLAIN, World


class PhraseError(Exception):
    """A phrase that cannot be read: what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class Devices:
    """
    Alternatives, one of which a machine has: accelerators by kind, and values on other axes.

    `cuda` stands for what answers to that name, ROCm builds among it, and is read as CUDA unless something tells the
    two apart; `tells_makes` says that these words do.
    """

    accelerators: frozenset[str] = frozenset()
    others: tuple[tuple[str, frozenset[Hashable]], ...] = ()
    tells_makes: bool = False

    def are_in(self, world: World) -> bool:
        """True on a machine that has one of them."""
        if self.accelerators and world.has(self.accelerators, tells_makes=self.tells_makes):
            return True
        return any(world.is_in(axis, values) for axis, values in self.others)


def _beside(axis: str, *values: Hashable) -> Devices:
    return Devices(others=((axis, frozenset(values)),))


_BROWSERS: Final = [str(name) for name in DOMAINS["browser"] if name]
DEVICE_WORDS: Final[Mapping[str, Devices]] = {
    "cuda": Devices(frozenset({"cuda", "rocm"})),
    "nvidia": Devices(frozenset({"cuda"}), tells_makes=True),
    "gpu": Devices(frozenset(ACCELERATOR_KINDS)),
    "cpu": Devices(frozenset({PLAIN})),
    "rocm": Devices(frozenset({"rocm"}), tells_makes=True),
    **{kind: Devices(frozenset({kind})) for kind in ("mps", "xpu", "hpu", "npu", "tpu")},
    **{kind: _beside(kind, True) for kind in OTHER_KINDS},
    **{str(name): _beside("platform", name) for name in DOMAINS["platform"]},
    "browser": _beside("browser", *_BROWSERS),
    **{name: _beside("browser", name) for name in _BROWSERS},
}
"""What each word for a device stands for."""


def devices_of(text: str) -> Devices:
    """`cuda or rocm`. Raises PhraseError."""
    accelerators: frozenset[str] = frozenset()
    others: list[tuple[str, frozenset[Hashable]]] = []
    tells_makes = False
    for word in re.split(r"\s+or\s+|\s*,\s*", text.strip()):
        found = DEVICE_WORDS.get(word)
        if found is None:
            raise PhraseError(f"{word!r} is no device; expected one of {', '.join(DEVICE_WORDS)}")
        accelerators |= found.accelerators
        others += found.others
        tells_makes |= found.tells_makes
    return Devices(accelerators, tuple(others), tells_makes)


# -- answers -----------------------------------------------------------------------------------------------------


def _true_on(text: str) -> Fact:
    names, _, count = text.partition(" >= ")
    devices, wanted = devices_of(names), int(count or 1)
    return lambda world, args, kwargs: devices.are_in(world) and (wanted == 1 or _is_at_least(world, "count", wanted))


def _true_from(text: str) -> Fact:
    level = int(text)
    return lambda world, args, kwargs: capability_at_least(world, [level], {})


def _count_of(text: str) -> Fact:
    names, _, least = text.partition(" at least ")
    count = Count(devices_of(names).accelerators, int(least or 0))
    return lambda world, args, kwargs: count


def _list_of(text: str) -> Fact:
    kinds = devices_of(text).accelerators
    some = Choice("count", tuple((count, [UNKNOWN] * int(str(count))) for count in DOMAINS["count"]))
    return lambda world, args, kwargs: some if world.has(kinds) else []


def _needs(text: str) -> Fact:
    devices = devices_of(text)

    def fact(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        if not devices.are_in(world):
            raise HardwareMissingError(text)
        return UNKNOWN

    return fact


def _gives_on(text: str) -> Fact:
    """`gives properties on cuda`: an object of which more is known, that only such a machine can make."""
    kind, _, names = text.partition(" on ")
    devices = devices_of(names) if names else None

    def fact(world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Result:
        if devices is not None and not devices.are_in(world):
            raise HardwareMissingError(names)
        return Result(kind)

    return fact


def _set_on(text: str) -> Fact:
    devices = devices_of(text)
    return lambda world, args, kwargs: Result("setting") if devices.are_in(world) else None


def _fact(text: str) -> Fact:
    if text not in FACTS:
        raise PhraseError(f"{text!r} is no fact; expected one of {', '.join(FACTS)}")
    return FACTS[text]


_ANSWERS: Final[Mapping[str, Callable[[str], Fact]]] = {
    "true on ": _true_on,
    "true from sm": _true_from,
    "count of ": _count_of,
    "list of ": _list_of,
    "needs ": _needs,
    "gives ": _gives_on,
    "set on ": _set_on,
    "the ": _fact,
}
_CONSTANTS: Final[Mapping[str, Value]] = {"unknown": UNKNOWN, "true": True, "false": False}


def answer_of(phrase: str) -> Fact:
    """What a function or constant answers, by a phrase such as `true on cuda`. Raises PhraseError."""
    if phrase in _CONSTANTS:
        value = _CONSTANTS[phrase]
        return lambda world, args, kwargs: value
    for verb, make in _ANSWERS.items():
        if phrase.startswith(verb):
            return make(phrase.removeprefix(verb))
    verbs = ", ".join(sorted({*(verb.strip() for verb in _ANSWERS), *_CONSTANTS}))
    raise PhraseError(f"{phrase!r} is no phrase; expected one that begins with requires, excludes, {verbs}")


# -- gates -------------------------------------------------------------------------------------------------------

_SLOT: Final = re.compile(r"\{(?:(?P<place>\d+):)?(?P<name>\w*|\*)(?:=(?P<default>\d+))?\}")


@dataclass(frozen=True, slots=True)
class _Slot:
    """An argument of a decorator: by name, or by its place."""

    name: str
    place: int = 0
    default: int | None = None

    def of(self, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        if self.name in kwargs:
            return kwargs[self.name]
        return args[self.place] if self.place < len(args) else self.default


@dataclass(frozen=True, slots=True)
class Demand:
    """
    What one phrase of a gate asks of a machine: one of `devices`, or none of them.

    `count` is how many, `memory` what each must hold, `sm` the least compute capability; `when` is an argument without
    which the phrase does not hold, and `words` says that the devices are the arguments.
    """

    devices: Devices
    is_negative: bool = False
    count: _Slot | int = 1
    memory: _Slot | None = None
    sm: int = 0
    when: str = ""
    words: bool = False

    def is_open(self, world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> bool | Unknown:
        """Whether the test may run here; UNKNOWN where that hangs on an argument that is not known."""
        if self.when and not self._holds(kwargs):
            return True
        devices = self.devices
        if self.words:
            found = devices_among(args or [*kwargs.values()])
            if found is None:
                return UNKNOWN
            devices = found
        is_here = devices.are_in(world)
        if self.is_negative:
            return not is_here
        return is_here and self._is_enough(world, args, kwargs)

    def _holds(self, kwargs: Mapping[str, Value]) -> bool:
        name, _, wanted = self.when.partition("=")
        return name in kwargs and truth(kwargs[name]) is (wanted != "False")

    def _is_enough(self, world: World, args: Sequence[Value], kwargs: Mapping[str, Value]) -> bool:
        if self.sm and capability_at_least(world, [self.sm], {}) is False:
            return False
        wanted = self.count if isinstance(self.count, int) else self.count.of(args, kwargs)
        if isinstance(wanted, int) and wanted > 1 and not _is_at_least(world, "count", wanted):
            return False
        memory = memory_bytes(self.memory.of(args, kwargs)) if self.memory else 0
        return not memory or _is_at_least(world, "device_memory", memory)


def _is_at_least(world: World, axis: str, least: int) -> bool:
    return world.is_in(axis, frozenset(value for value in DOMAINS[axis] if isinstance(value, int) and value >= least))


_FORM: Final = re.compile(
    r"(?:(?P<when>\w+(?:=True|=False)?): )?(?P<verb>requires|excludes) "
    r"(?:(?P<words>\{\*\})|sm(?P<sm>\d+)|(?P<devices>.+?))"
    r"(?: >= (?P<count>\d+|\{[^}]*\}))?(?: with memory (?P<memory>\{[^}]*\}))?"
)


def gate_of(phrase: str) -> tuple[Demand, ...]:
    """What a decorator, mark or fixture asks for, by phrases such as `requires gpu >= {num_gpus=2}`; may be none."""
    if phrase == "nothing":
        return ()
    return tuple(_demand(part.strip()) for part in phrase.split(";"))


def _demand(phrase: str) -> Demand:
    found = _FORM.fullmatch(phrase)
    if found is None:
        raise PhraseError(f"{phrase!r} is no gate; expected one such as `requires cuda >= 2` or `excludes rocm`")
    count = found["count"] or "1"
    return Demand(
        devices_of(found["devices"])
        if found["devices"]
        else Devices(frozenset({"cuda"}) if found["sm"] else frozenset()),
        found["verb"] == "excludes",
        int(count) if count.isdigit() else _slot(count),
        _slot(found["memory"]) if found["memory"] else None,
        int(found["sm"] or 0),
        found["when"] or "",
        bool(found["words"]),
    )


def _slot(text: str) -> _Slot:
    found = _SLOT.fullmatch(text)
    if found is None:
        raise PhraseError(f"{text!r} is no argument; expected one such as {{num_gpus=2}}")
    default = found["default"]
    return _Slot(found["name"], int(found["place"] or 0), int(default) if default else None)


_OTHER_NAMES: Final = {"hip": "rocm", "amd": "rocm", "xla": "tpu", "cuda": "cuda", "metal": "mps", "ascend": "npu"}


def devices_among(values: Sequence[Value]) -> Devices | None:
    """
    The devices that arguments name, such as `"gpu", "tpu"` of a list of those to run on; None where one is not known.

    The library that has such a list for `gpu` means CUDA or ROCm by it.
    """
    words = [word for value in values for word in (value if isinstance(value, (list, tuple, set)) else [value])]
    accelerators: frozenset[str] = frozenset()
    others: list[tuple[str, frozenset[Hashable]]] = []
    tells_makes = False
    for word in words:
        if not isinstance(word, str):
            return None
        name = word.lower().partition(":")[0]
        if name == "gpu":
            accelerators |= {"cuda", "rocm"}
            tells_makes = True
            continue
        found = DEVICE_WORDS.get(_OTHER_NAMES.get(name, name))
        if found is not None:
            accelerators |= found.accelerators
            others += found.others
            tells_makes |= found.tells_makes
    return Devices(accelerators, tuple(others), tells_makes) if accelerators or others else None


def memory_bytes(given: Value) -> int:
    """`24`, `24.0` (GiB), `"12GB"` in bytes; 0 where it is not known."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return int(given * GIB)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(G|M)i?B?\s*", given, re.IGNORECASE) if isinstance(given, str) else None
    if found is None:
        return 0
    return int(float(found[1]) * (GIB if found[2].upper() == "G" else 1024**2))
