"""The machines that a test is imagined on: axes of what they have, and the walk over those that it can tell apart."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

GIB: Final = 1024**3
PLAIN: Final = "none"
ACCELERATOR_KINDS: Final[tuple[str, ...]] = ("cuda", "rocm", "mps", "xpu", "hpu", "npu", "tpu")
"""Kinds of which a machine has at most one, since the frameworks are built for one of them."""
OTHER_KINDS: Final[tuple[str, ...]] = ("webgpu", "openvino", "qualcomm", "webnn")
"""Kinds that a machine can have beside an accelerator: each is an axis of its own."""

DOMAINS: Final[Mapping[str, tuple[Hashable, ...]]] = {
    "accelerator": (PLAIN, *ACCELERATOR_KINDS),
    "platform": ("linux", "darwin", "windows"),
    "count": (1, 2, 3, 4, 8, 16),
    # Compute capabilities, https://developer.nvidia.com/cuda-gpus.
    "cuda_arch": ((7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)),
    # MI200, MI300, MI350 and RDNA3, https://rocm.docs.amd.com (GPU hardware specifications).
    "rocm_arch": ("gfx90a", "gfx942", "gfx950", "gfx1100"),
    "device_memory": tuple(size * GIB for size in (8, 16, 24, 40, 80, 192)),
    "host_memory": tuple(size * GIB for size in (4, 8, 16, 32, 64, 128, 256, 1024)),
    "cpu_count": (1, 2, 4, 8, 16, 64),
    "browser": ("", "chrome", "firefox", "webkit", "safari", "edge"),
    **dict.fromkeys(OTHER_KINDS, (False, True)),
}
"""What a machine can have on each axis, the least first; one value of each."""
_WHOLE: Final = {axis: frozenset(values) for axis, values in DOMAINS.items()}
MAX_LEAVES: Final = 200

Question = tuple[str, frozenset[Hashable]]
"""Whether what a machine has on an axis is one of some values."""
Possible = dict[str, frozenset[Hashable]]
"""What a machine may have on each axis that somebody asked about."""


class TooManyWorldsError(Exception):
    """A test asks for more distinctions than are worth following."""


class Notes:
    """
    What code that ran has met: the gates that are closed, and whether it tells AMD's devices from NVIDIA's.

    `tells_makes` holds for any such code, `gates_tell_makes` for the condition of a gate.
    """

    __slots__ = ("gates", "gates_tell_makes", "tells_makes")

    def __init__(self) -> None:
        self.gates: list[Any] = []
        self.tells_makes = False
        self.gates_tell_makes = False

    def is_like(self, other: Notes) -> bool:
        """True where the same has been met."""
        return (
            self.tells_makes == other.tells_makes
            and self.gates_tell_makes == other.gates_tell_makes
            and set(self.gates) == set(other.gates)
        )

    def add(self, other: Notes) -> None:
        """Meet what `other` has met, too."""
        self.gates += other.gates
        self.tells_makes |= other.tells_makes
        self.gates_tell_makes |= other.gates_tell_makes


class World:
    """
    One imagined machine, or several that nothing has told apart yet.

    A question that they answer differently splits them: this world goes on with one part, and the other is kept in
    `alternatives`, for `explore` to try. Every question is written to `trace`, so that what was worked out can be
    remembered with what it hung on.
    """

    __slots__ = ("alternatives", "notes", "possible", "trace")

    def __init__(self, possible: Possible) -> None:
        self.possible = possible
        self.alternatives: list[Possible] = []
        self.trace: list[Question] = []
        self.notes = Notes()

    def is_in(self, axis: str, values: frozenset[Hashable]) -> bool:
        """Whether what this machine has on `axis` is one of `values`."""
        self.trace.append((axis, values))
        possible = self.possible.get(axis)
        if possible is None:
            possible = self.possible[axis] = _limit(axis, self.possible)
        inside = possible & values
        if not inside:
            return False
        if len(inside) == len(possible):
            return True
        outside = possible - values
        least = next(value for value in DOMAINS[axis] if value in possible)
        is_inside = least in inside
        chosen, other = (inside, outside) if is_inside else (outside, inside)
        self.alternatives.append(_settled({**self.possible, axis: other}))
        self.possible = _settled({**self.possible, axis: chosen})
        return is_inside

    def has(self, kinds: frozenset[str], *, tells_makes: bool = False) -> bool:
        """Whether the accelerator is of one of `kinds`; `PLAIN` stands for none."""
        if tells_makes or ("cuda" in kinds) != ("rocm" in kinds):
            self.notes.tells_makes = True
        return self.is_in("accelerator", kinds)

    def value(self, axis: str) -> Any:
        """What this machine has on `axis`, told apart from every other."""
        for value in DOMAINS[axis][:-1]:
            if self.is_in(axis, frozenset({value})):
                return value
        return DOMAINS[axis][-1]

    @contextmanager
    def noting(self) -> Iterator[Notes]:
        """What is met inside, to look at; in the end it is met outside, too, however the block ends."""
        outer, self.notes = self.notes, Notes()
        try:
            yield self.notes
        finally:
            outer.add(self.notes)
            self.notes = outer

    @contextmanager
    def supposing(self) -> Iterator[Notes]:
        """What would be met inside, to look at: outside, it is not met."""
        outer, self.notes = self.notes, Notes()
        try:
            yield self.notes
        finally:
            self.notes = outer


def _limit(axis: str, known: Possible) -> frozenset[Hashable]:
    """What is possible on an axis that nobody has asked about."""
    if axis in ("accelerator", "platform"):
        other = "platform" if axis == "accelerator" else "accelerator"
        if other in known:
            return _settled({**known, axis: _WHOLE[axis]})[axis]
    return _WHOLE[axis]


_APPLE: Final = frozenset({PLAIN, "mps"})
_MPS: Final = frozenset({"mps"})
_DARWIN: Final = frozenset({"darwin"})


def _settled(possible: Possible) -> Possible:
    """The same without what cannot be together: `mps` is where macOS is, and no other accelerator is there."""
    kinds, platforms = possible.get("accelerator"), possible.get("platform")
    if kinds is None or platforms is None:
        return possible
    if platforms == _DARWIN:
        kinds = kinds & _APPLE
    elif "darwin" not in platforms:
        kinds = kinds - _MPS
    if kinds == _MPS:
        platforms = platforms & _DARWIN
    elif not kinds & _APPLE:
        platforms = platforms - _DARWIN
    return {**possible, "accelerator": kinds, "platform": platforms}


_ANY: Final[Mapping[str, frozenset[Hashable]]] = {}


def explore(run: Callable[[World], T], start: Mapping[str, frozenset[Hashable]] = _ANY) -> list[tuple[Possible, T]]:
    """
    Run `run` on every machine that it can tell apart: what is possible on each, and what came of it.

    `start` is what is possible at all.

    Raises TooManyWorldsError beyond `MAX_LEAVES` machines.
    """
    leaves: list[tuple[Possible, T]] = []
    waiting: list[Possible] = [dict(start)]
    while waiting:
        if len(leaves) >= MAX_LEAVES:
            raise TooManyWorldsError
        world = World(waiting.pop())
        found = run(world)
        leaves.append((world.possible, found))
        waiting += world.alternatives
    return leaves


@dataclass(slots=True)
class _Fork:
    question: Question
    branches: dict[bool, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Known(Generic[T]):
    value: T
    error: Exception | None
    notes: Notes


class Memory:
    """
    Remembers what was worked out, in a tree of the questions that it hung on, so that it holds for every world.

    A question whose answers turn out to lead to the same is dropped: nobody is split by it any more. `same` tells
    whether two values are, for all that code can see.
    """

    __slots__ = ("_root", "_same")

    def __init__(self, same: Callable[[Any, Any], bool] = operator.is_) -> None:
        self._root: object = None
        self._same = same

    def recall(
        self,
        world: World,
        compute: Callable[[], T],
        *,
        is_whole: Callable[[], bool] = lambda: True,
        remembered: tuple[type[Exception], ...] = (),
    ) -> T:
        """
        The value for `world`, computed once per set of answers; what was met on the way is met again.

        It is kept only where `is_whole` says afterwards that nothing was cut short while it was computed. Of what
        `compute` raises, `remembered` is raised again, and anything else is not kept.
        """
        path: list[tuple[_Fork, bool]] = []
        node = self._root
        while isinstance(node, _Fork):
            answer = world.is_in(*node.question)
            path.append((node, answer))
            node = node.branches.get(answer)
        if isinstance(node, _Known):
            world.notes.add(node.notes)
            if node.error is not None:
                raise node.error.with_traceback(None)
            return node.value  # type: ignore[no-any-return]
        asked = len(world.trace)
        error: Exception | None = None
        value: Any = None
        with world.noting() as notes:
            try:
                value = compute()
            except remembered as raised:
                error = raised.with_traceback(None)
        if is_whole():
            settled = {fork.question for fork, _ in path}
            questions = [question for question in dict.fromkeys(world.trace[asked:]) if question not in settled]
            self._plant(path, self._branch(questions, world.possible, _Known(value, error, notes)))
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def _plant(self, path: list[tuple[_Fork, bool]], node: object) -> None:
        for fork, answer in reversed(path):
            fork.branches[answer] = node
            other = fork.branches.get(not answer)
            if not (isinstance(node, _Known) and isinstance(other, _Known) and self._are_same(node, other)):
                return
        self._root = node

    def _are_same(self, one: _Known[Any], other: _Known[Any]) -> bool:
        return (
            type(one.error) is type(other.error)
            and one.notes.is_like(other.notes)
            and self._same(one.value, other.value)
        )

    @staticmethod
    def _branch(questions: Iterable[Question], possible: Possible, known: object) -> object:
        node = known
        for axis, values in reversed(list(questions)):
            node = _Fork((axis, values), {possible[axis] <= values: node})
        return node


def worlds_of(axes: Iterable[str]) -> Iterator[Possible]:
    """Every machine that `axes` tell apart, for tests that compare with a truth table."""

    def ask_all(world: World) -> None:
        for axis in axes:
            world.value(axis)

    yield from (possible for possible, _ in explore(ask_all))
