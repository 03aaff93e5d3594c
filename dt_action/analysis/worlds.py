"""The machines that a test is imagined on: axes of what they have, and the walk over those that matter."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

GIB = 1024**3
PLAIN = "none"
ACCELERATOR_KINDS: tuple[str, ...] = ("cuda", "rocm", "mps", "xpu", "hpu", "npu", "tpu")
"""Kinds of which a machine has at most one, since the frameworks are built for one of them."""
ALIKE: tuple[str, ...] = ("cuda", "rocm")
"""Kinds that answer to the name `cuda`, since ROCm builds of the frameworks keep it."""
OTHER_KINDS: tuple[str, ...] = ("webgpu", "openvino", "qualcomm", "webnn")
"""Kinds that a machine can have beside an accelerator: each is an axis of its own."""

CUDA_ARCHES: tuple[tuple[int, int], ...] = ((7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0))
"""Compute capabilities, https://developer.nvidia.com/cuda-gpus."""
ROCM_ARCHES: tuple[str, ...] = ("gfx90a", "gfx942", "gfx950", "gfx1100")
"""MI200, MI300, MI350 and RDNA3, https://rocm.docs.amd.com (GPU hardware specifications)."""
COUNTS: tuple[int, ...] = (1, 2, 3, 4, 8, 16)
DEVICE_MEMORY: tuple[int, ...] = tuple(size * GIB for size in (8, 16, 24, 40, 80, 192))
HOST_MEMORY: tuple[int, ...] = tuple(size * GIB for size in (4, 8, 16, 32, 64, 128, 256, 1024))
CPU_COUNTS: tuple[int, ...] = (1, 2, 4, 8, 16, 64)
BROWSERS: tuple[str, ...] = ("", "chrome", "firefox", "webkit", "safari", "edge")
MAX_LEAVES = 400


class TooManyWorldsError(Exception):
    """A test asks for more distinctions than are worth following."""


class World:
    """
    One imagined machine, made up as it is asked.

    The first answer to a question is taken at once; the others are kept in `alternatives`, for `explore` to try.
    Every question is written to `trace`, so that what was worked out can be remembered with what it hung on.
    """

    __slots__ = ("alternatives", "choices", "gates", "steps", "trace")

    def __init__(self, choices: dict[str, Hashable]) -> None:
        self.choices = choices
        self.alternatives: list[dict[str, Hashable]] = []
        self.trace: list[str] = []
        self.gates: list[Hashable] = []
        self.steps = 0

    def ask(self, axis: str) -> Hashable:
        """What this machine has on `axis`."""
        self.trace.append(axis)
        if axis not in self.choices:
            first, *rest = _options(axis, self.choices)
            self.alternatives += [{**self.choices, axis: other} for other in rest]
            self.choices[axis] = first
        return self.choices[axis]

    @property
    def accelerator(self) -> str:
        """The kind of accelerator here, or `PLAIN`."""
        return str(self.ask("accelerator"))

    @property
    def platform(self) -> str:
        """`linux`, `darwin` or `windows`."""
        return str(self.ask("platform"))

    def count(self) -> int:
        """How many accelerators are here."""
        return 0 if self.accelerator == PLAIN else int(str(self.ask("count")))


def _options(axis: str, known: dict[str, Hashable]) -> tuple[Hashable, ...]:
    if axis == "accelerator":
        platform = known.get("platform")
        if platform is None:
            return (PLAIN, *ACCELERATOR_KINDS)
        if platform == "darwin":
            return (PLAIN, "mps")
        return tuple(kind for kind in (PLAIN, *ACCELERATOR_KINDS) if kind != "mps")
    if axis == "platform":
        kind = known.get("accelerator")
        if kind == "mps":
            return ("darwin",)
        return ("linux", "darwin", "windows") if kind in (None, PLAIN) else ("linux", "windows")
    if axis == "arch":
        return ROCM_ARCHES if known.get("accelerator") == "rocm" else CUDA_ARCHES
    return _FIXED[axis]


_FIXED: dict[str, tuple[Hashable, ...]] = {
    "count": COUNTS,
    "device_memory": DEVICE_MEMORY,
    "host_memory": HOST_MEMORY,
    "cpu_count": CPU_COUNTS,
    "browser": BROWSERS,
    **dict.fromkeys(OTHER_KINDS, (False, True)),
}


def explore(run: Callable[[World], T]) -> list[tuple[dict[str, Hashable], T]]:
    """
    Run `run` on every machine it can tell apart: what was asked of each, and what came of it.

    Raises TooManyWorldsError beyond `MAX_LEAVES` machines.
    """
    leaves: list[tuple[dict[str, Hashable], T]] = []
    waiting: list[dict[str, Hashable]] = [{}]
    while waiting:
        if len(leaves) >= MAX_LEAVES:
            raise TooManyWorldsError
        world = World(waiting.pop())
        leaves.append((world.choices, run(world)))
        waiting += world.alternatives
    return leaves


@dataclass(slots=True)
class _Fork:
    axis: str
    branches: dict[Hashable, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Known(Generic[T]):
    value: T
    gates: tuple[Hashable, ...]


class Memory:
    """Remembers what was worked out, in a tree of the questions that it hung on, so that it holds for every world."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: object = None

    def recall(self, world: World, compute: Callable[[], T], is_whole: Callable[[], bool] = lambda: True) -> T:
        """
        The value for `world`, computed once per set of answers; gates met on the way are met again.

        It is kept only where `is_whole` says afterwards that nothing was cut short while it was computed.
        """
        path: list[tuple[_Fork, Hashable]] = []
        node = self._root
        while isinstance(node, _Fork):
            answer = world.ask(node.axis)
            path.append((node, answer))
            node = node.branches.get(answer)
        if isinstance(node, _Known):
            world.gates += node.gates
            return node.value  # type: ignore[no-any-return]
        asked, met = len(world.trace), len(world.gates)
        value = compute()
        if not is_whole():
            return value
        known = _Known(value, tuple(world.gates[met:]))
        axes = [axis for axis in dict.fromkeys(world.trace[asked:]) if all(axis != fork.axis for fork, _ in path)]
        self._plant(path, self._branch(axes, world, known))
        return value

    def _plant(self, path: list[tuple[_Fork, Hashable]], node: object) -> None:
        if path:
            fork, answer = path[-1]
            fork.branches[answer] = node
        else:
            self._root = node

    @staticmethod
    def _branch(axes: list[str], world: World, known: object) -> object:
        node = known
        for axis in reversed(axes):
            node = _Fork(axis, {world.choices[axis]: node})
        return node


def worlds_of(axes: tuple[str, ...]) -> Iterator[dict[str, Hashable]]:
    """Every machine that `axes` tell apart, for tests that compare with a truth table."""

    def ask_all(world: World) -> None:
        for axis in axes:
            world.ask(axis)

    yield from (choices for choices, _ in explore(ask_all))
