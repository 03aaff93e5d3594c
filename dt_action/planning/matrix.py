"""A plan cut into the legs of a CI service's matrix: test type by hardware by shard, each with the runner it needs."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dt_action.errors import ConfigurationError
from dt_action.model.case import OTHER_TYPE
from dt_action.model.hardware import ACCELERATORS, DEVICE_KINDS
from dt_action.model.plan import Plan, PlannedFile

DEFAULT_RUNNER = ("ubuntu-latest",)
MOST_LEGS = 256
"""GitHub's limit for one matrix: https://docs.github.com/actions/reference/limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """
    One job. `hardware` holds the kinds for `dt run --hardware`; `kind` is the one that its runner has, empty for the
    default runner. `expected_s` is what its tests may take.
    """

    test_type: str
    hardware: tuple[str, ...]
    shard: str
    runs_on: tuple[str, ...]
    kind: str
    expected_s: float
    python: str = ""

    @property
    def label(self) -> str:
        """What tells the leg from those of other types, hardware and versions of Python; its shards share it."""
        return "-".join(filter(None, (self.test_type, self.kind, self.python and f"py{self.python}")))

    def as_json(self, attempt: int = 1) -> dict[str, object]:
        """
        The leg as an entry of `include`; `name` is unique, and safe in the name of an artifact.

        `attempt` is the CI service's at which the matrix is made: no job of it can have reported before.

        `container` is false where the runner's own Python is wanted: a container on GitHub sees no device.
        """
        return {
            "name": _file_name(f"{self.label}-{self.shard.replace('/', '-of-')}" if self.shard else self.label),
            "test_type": self.test_type,
            "hardware": " ".join(self.hardware),
            "shard": self.shard,
            "label": self.label,
            "runs_on": list(self.runs_on),
            "container": not self.kind,
            "expected_s": round(self.expected_s, 1),
            "python": self.python,
            "attempt": attempt,
        }


def _file_name(text: str) -> str:
    """The text where it is safe in a file's name, else with what makes it unlike any other."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "-", text)
    return safe if safe == text else f"{safe}-{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"


def read_runners(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """
    `["cuda=self-hosted+gpu", "default=ubuntu-24.04"]` -> labels by hardware. Raises ConfigurationError.

    `default` is where everything runs that no other entry takes.
    """
    runners: dict[str, tuple[str, ...]] = {}
    for text in words:
        kind, sign, labels = text.partition("=")
        if not sign or not labels.strip("+ ") or kind not in DEVICE_KINDS | {"default"}:
            raise ConfigurationError(
                f"--runners has {text!r}; expected hardware and the labels of its runners",
                hint="write for example cuda=self-hosted+linux+gpu, or default=ubuntu-latest",
            )
        runners[kind] = tuple(label for label in labels.split("+") if label)
    return runners


def legs(
    plan: Plan,
    *,
    shards: int,
    runners: Mapping[str, tuple[str, ...]],
    most_shards: Callable[[Sequence[PlannedFile], int], int],
    is_one_fleet: bool = False,
    pythons: Sequence[str] = (),
) -> list[Leg]:
    """
    Every file of the plan in at least one leg, and all legs for each of `pythons`.

    A kind of hardware with runners of its own makes a leg for the files that have tests which need it; the default
    runner takes all the rest, where a test whose hardware is missing is told as such. With a coordinator
    (`is_one_fleet`) hardware is its business, so that a type is one leg. `most_shards` tells into how many of so many
    shards files can be cut with something to do for each. Raises ConfigurationError for more than `MOST_LEGS`.
    """
    found: list[Leg] = []
    types = sorted({file.test_type or OTHER_TYPE for file in plan.files}, key=lambda name: (name == OTHER_TYPE, name))
    for test_type in types:
        files = [file for file in plan.files if (file.test_type or OTHER_TYPE) == test_type]
        kinds = () if is_one_fleet else sorted(kind for kind in runners if kind != "default" and _need(files, kind))
        rest = ("cpu", *sorted(_left_over(files, kinds))) if kinds else ()
        for kind in ("", *kinds):
            chosen = [file for file in files if _takes(file, kind, kinds)]
            if chosen:
                hardware = (kind,) if kind else rest
                labels = runners.get(kind or "default", DEFAULT_RUNNER)
                found += _shards(test_type, hardware, kind, labels, chosen, most_shards(chosen, shards))
    found = [replace(leg, python=python) for leg in found for python in pythons or ("",)]
    if len(found) > MOST_LEGS:
        raise ConfigurationError(
            f"the matrix has {len(found)} jobs; expected at most {MOST_LEGS}", hint="lower --shards, or pick test types"
        )
    return found


def _shards(
    test_type: str,
    hardware: tuple[str, ...],
    kind: str,
    runs_on: tuple[str, ...],
    files: Sequence[PlannedFile],
    count: int,
) -> list[Leg]:
    expected_s = sum(file.expected_s for file in files) / count
    return [
        Leg(
            test_type=test_type,
            hardware=hardware,
            shard=f"{index}/{count}" if count > 1 else "",
            runs_on=runs_on,
            kind=kind,
            expected_s=expected_s,
        )
        for index in range(1, count + 1)
    ]


def _need(files: Iterable[PlannedFile], kind: str) -> bool:
    return any(_needs(requirement_kinds, kind) for file in files for requirement_kinds in _kinds(file))


def _takes(file: PlannedFile, kind: str, kinds: Sequence[str]) -> bool:
    if kind:
        return any(_needs(needed, kind) for needed in _kinds(file))
    return any(not any(_needs(needed, other) for other in kinds) for needed in _kinds(file))


def _left_over(files: Iterable[PlannedFile], kinds: Sequence[str]) -> set[str]:
    """The accelerators that tests need and that none of `kinds` is."""
    wanted = {needed for file in files for needed in _kinds(file) if not any(_needs(needed, kind) for kind in kinds)}
    return {kind for needed in wanted for kind in needed & ACCELERATORS}


def _needs(needed: frozenset[str], kind: str) -> bool:
    """`gpu` on either side stands for any accelerator."""
    accelerators = needed & ACCELERATORS
    if kind == "cpu":
        return not accelerators
    return kind in needed or ("gpu" in needed and kind in ACCELERATORS) or (kind == "gpu" and bool(accelerators))


def _kinds(file: PlannedFile) -> list[frozenset[str]]:
    return [requirement.kinds for requirement in (file.needs.default, *file.needs.cases.values())]
