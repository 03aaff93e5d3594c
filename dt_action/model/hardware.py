"""What a test needs, what a machine has, and whether the one satisfies the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

DeviceKind = Literal[
    "cpu", "cuda", "rocm", "mps", "xpu", "hpu", "npu", "tpu", "openvino", "qualcomm", "webgpu", "webnn", "gpu"
]
"""The kinds of device. `gpu` is any accelerator: a need for it is met by every kind in `ACCELERATORS`."""

DEVICE_KINDS: frozenset[str] = frozenset(get_args(DeviceKind))
ACCELERATORS: frozenset[str] = frozenset({"cuda", "rocm", "mps", "xpu", "hpu", "npu", "tpu", "gpu"})

Platform = Literal["linux", "darwin", "windows"]
PLATFORMS: frozenset[str] = frozenset(get_args(Platform))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where a conclusion comes from: `file:line` and the name of the rule that drew it."""

    file: str
    line: int
    rule: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.rule})"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNeed:
    """`count` devices of one kind, each with at least `memory_bytes` and every feature (such as `sm90`)."""

    kind: DeviceKind
    count: int = 1
    memory_bytes: int = 0
    features: frozenset[str] = frozenset()

    def __str__(self) -> str:
        words = [f"{self.count} {self.kind}" if self.count > 1 else self.kind]
        if self.memory_bytes:
            words.append(f"with {format_bytes(self.memory_bytes)}")
        if self.features:
            words.append("with " + ", ".join(sorted(self.features)))
        return " ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """Alternatives: one of `any_of` is enough."""

    any_of: tuple[DeviceNeed, ...]

    def __str__(self) -> str:
        return " or ".join(str(need) for need in self.any_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """
    What a test needs, as a conjunction: every clause, no excluded kind, and the rest.

    `enforced` tells who keeps the test from running where the need is not met. True: the user said so with a
    mark, a pragma or configuration, and the test itself would run and fail, so only the scheduler can. False:
    it was inferred from a gate in the test's code, which makes pytest skip the test there. Two requirements are
    equal where they ask for the same, whatever the evidence.
    """

    all_of: tuple[Clause, ...] = ()
    excludes: frozenset[str] = frozenset()
    browser: str = ""
    platforms: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    min_memory_bytes: int = 0
    exclusive: frozenset[str] = frozenset()
    priority: int = 0
    timeout_s: float | None = None
    enforced: bool = False
    evidence: tuple[Evidence, ...] = field(default=(), compare=False)

    def and_(self, other: Requirement) -> Requirement:
        """Both together. Two sets of platforms intersect; two different browsers keep the first."""
        if other == NOTHING:
            return self
        if self == NOTHING:
            return other
        clauses = self.all_of + tuple(clause for clause in other.all_of if clause not in self.all_of)
        return replace(
            self,
            all_of=clauses,
            excludes=self.excludes | other.excludes,
            browser=self.browser or other.browser,
            platforms=_both_platforms(self.platforms, other.platforms),
            labels=self.labels | other.labels,
            min_memory_bytes=max(self.min_memory_bytes, other.min_memory_bytes),
            exclusive=self.exclusive | other.exclusive,
            priority=self.priority if abs(self.priority) >= abs(other.priority) else other.priority,
            timeout_s=self.timeout_s if other.timeout_s is None else other.timeout_s,
            enforced=self.enforced or other.enforced,
            evidence=self.evidence + tuple(item for item in other.evidence if item not in self.evidence),
        )

    @property
    def kinds(self) -> frozenset[str]:
        """Every device kind that a clause names."""
        return frozenset(need.kind for clause in self.all_of for need in clause.any_of)

    @property
    def needs_nothing(self) -> bool:
        """True where any machine will do."""
        of_machine = self.browser or self.platforms or self.labels or self.min_memory_bytes
        return not (self.all_of or self.excludes or of_machine)

    def __str__(self) -> str:
        words = [str(clause) for clause in self.all_of]
        words += [f"not {kind}" for kind in sorted(self.excludes)]
        words += [self.browser] if self.browser else []
        words += ["on " + " or ".join(sorted(self.platforms))] if self.platforms else []
        words += [f"the label {label}" for label in sorted(self.labels)]
        words += [f"{format_bytes(self.min_memory_bytes)} of memory"] if self.min_memory_bytes else []
        return " and ".join(words) or "nothing"


NOTHING = Requirement()


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """
    One device of a machine. `index` is its number among those of its kind, as the machine's owner counts them; `uuid`
    is its name for life, where its vendor gives it one.
    """

    kind: DeviceKind
    name: str = ""
    index: int = 0
    uuid: str = ""
    memory_bytes: int = 0
    features: frozenset[str] = frozenset()

    def serves(self, need: DeviceNeed) -> bool:
        """True where this device counts towards `need`."""
        same = self.kind == need.kind or (need.kind == "gpu" and self.kind in ACCELERATORS)
        return same and self.memory_bytes >= need.memory_bytes and need.features <= self.features


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """
    What a machine has, in the words of `Requirement`.

    `platform` is `linux`, `darwin` or `windows`; every machine has a cpu, which need not stand in `devices`. Where it
    `is_per_slot`, somebody else (a container engine, Ray) gives each slot what stands here for as long as it lives.
    """

    devices: tuple[Device, ...] = ()
    browsers: frozenset[str] = frozenset()
    platform: str = ""
    memory_bytes: int = 0
    cpu_count: int = 1
    labels: frozenset[str] = frozenset()
    is_per_slot: bool = False

    def why_not(self, requirement: Requirement) -> str:
        """Why this machine does not satisfy `requirement`, in words; empty where it does."""
        if requirement.needs_nothing:
            return ""
        for clause in requirement.all_of:
            if not any(self._has(need) for need in clause.any_of):
                return f"needs {clause}, has {self._inventory()}"
        turned_away = requirement.excludes & {device.kind for device in self.devices}
        if turned_away:
            return f"must not run on {', '.join(sorted(turned_away))}, which is here"
        if requirement.browser and not self._has_browser(requirement.browser):
            return f"needs the browser {requirement.browser}, has {', '.join(sorted(self.browsers)) or 'none'}"
        if requirement.platforms and self.platform not in requirement.platforms:
            return f"needs {' or '.join(sorted(requirement.platforms))}, is {self.platform or 'unknown'}"
        if not requirement.labels <= self.labels:
            missing = ", ".join(sorted(requirement.labels - self.labels))
            return f"needs the label {missing}, has {', '.join(sorted(self.labels)) or 'none'}"
        if self.memory_bytes < requirement.min_memory_bytes:
            return (
                f"needs {format_bytes(requirement.min_memory_bytes)} of memory, has {format_bytes(self.memory_bytes)}"
            )
        return ""

    def satisfies(self, requirement: Requirement) -> bool:
        """True where this machine can run a test with `requirement`."""
        return not self.why_not(requirement)

    def without_devices(self) -> Capability:
        """The same machine for those that are given none of its devices."""
        return replace(self, devices=())

    def _has(self, need: DeviceNeed) -> bool:
        if need.kind == "cpu":
            return self.cpu_count >= need.count
        return sum(device.serves(need) for device in self.devices) >= need.count

    def _has_browser(self, browser: str) -> bool:
        return bool(self.browsers) if browser == "any" else browser in self.browsers

    def _inventory(self) -> str:
        kinds = [device.kind for device in self.devices]
        return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))) or "no accelerator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a person should look at, such as a misspelt gate; never changes a requirement."""

    evidence: Evidence
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNeeds:
    """
    What the tests of one file need.

    `cases` is keyed by the part of the node id after the file: `TestA::test_x`, `test_y[cuda]`. A key without
    brackets speaks for all parameters of that function. A test that no key names needs `default`.
    """

    path: str
    default: Requirement = NOTHING
    cases: Mapping[str, Requirement] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def of(self, name: str) -> Requirement:
        """The requirement of the case called `name` (a node id without its file and the first `::`)."""
        exact = self.cases.get(name)
        if exact is not None:
            return exact
        function, bracket, _ = name.partition("[")
        return self.cases.get(function, self.default) if bracket else self.default

    @property
    def is_uniform(self) -> bool:
        """True where every test of the file needs the same."""
        return all(requirement == self.default for requirement in self.cases.values())


def _both_platforms(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    if not one or not other:
        return one | other
    return one & other or frozenset({"no platform"})


def format_bytes(count: int) -> str:
    """`25769803776` -> `24 GiB`, in the largest unit that leaves a number of at least 1."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
