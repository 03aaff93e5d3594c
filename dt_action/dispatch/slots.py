"""What a slot holds: the mirror of one process, kept from what it tells and what it was told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from dt_action.dispatch.pieces import Piece

MakePieces = Callable[[str, Sequence[str]], list[Piece]]
"""Makes pieces of cases of one file."""


@dataclass(slots=True, kw_only=True)
class Slot:
    """
    One process. `queue` has the collected cases that it has not begun, in its order; the first `credit` of them it
    may begin by itself. `pieces` are not collected yet. `importing` is the module that it imports before it asks for
    work. `since` is when the running case, collection or import began.
    """

    name: str
    worker: str
    heard_at: float
    pieces: list[Piece] = field(default_factory=list)
    importing: str = ""
    collecting: Piece | None = None
    queue: deque[str] = field(default_factory=deque)
    running: str = ""
    since: float = 0.0
    credit: int = 0
    low_water: int = 0
    is_resting: bool = False
    is_doomed: bool = False
    collect_s: dict[str, float] = field(default_factory=dict)
    begun_files: set[str] = field(default_factory=set)
    _queue_s: float = 0.0
    _file_of: dict[str, str] = field(default_factory=dict)
    _expected_s: dict[str, float] = field(default_factory=dict)

    @property
    def has_work(self) -> bool:
        """True while something was handed to it that it has not begun."""
        return bool(self.queue or self.pieces or self.collecting)

    @property
    def ahead_s(self) -> float:
        """About how many seconds of work it has not begun, by what was expected when it got it."""
        return self._queue_s + sum(piece.expected_s for piece in self.pieces)

    def begin_file(self, file: str, now: float) -> None:
        """It imports a file; a case in its teardown may be running at the same time."""
        for index, piece in enumerate(self.pieces):
            if piece.file == file:
                self.collecting = self.pieces.pop(index)
                self.since = now
                return

    def collects(self, file: str) -> bool:
        """True where it imports that file now, and was not told to leave it."""
        return self.collecting is not None and self.collecting.file == file

    def end_file(self, file: str, cases_s: Mapping[str, float], duration_s: float, now: float) -> Piece | None:
        """It knows the cases of the file, each with its expected seconds, and will run them in this order."""
        piece, self.collecting = self.collecting, None
        self.queue.extend(cases_s)
        self._queue_s += sum(cases_s.values())
        self._expected_s.update(cases_s)
        self._file_of.update(dict.fromkeys(cases_s, file))
        self.collect_s[file] = max(duration_s, self.collect_s.get(file, 0.0))
        self.since = now
        return piece

    def begin_case(self, case: str, now: float) -> bool:
        """It runs a case; False for one that it does not hold."""
        if self.queue and self.queue[0] == case:
            self.queue.popleft()
        elif case in self.queue:
            self.queue.remove(case)
        else:
            return False
        self._forget([case])
        self.running = case
        self.since = self.heard_at = now
        self.credit = max(0, self.credit - 1)
        self.begun_files.add(self._file_of[case])
        return True

    def file_of(self, case: str) -> str:
        """The file of a case that it holds or held."""
        return self._file_of[case]

    def expected_s(self, case: str) -> float:
        """The seconds that a case which it has not begun was expected to take when it got it."""
        return self._expected_s[case]

    def uncommitted(self) -> list[str]:
        """The cases that it may not begin without asking, in its order."""
        return list(islice(self.queue, self.credit, None))

    def spare_pieces(self) -> list[Piece]:
        """The pieces that it cannot begin without asking: with credit left over, it may collect the next ones."""
        return [] if self.credit > len(self.queue) else list(self.pieces)

    def give_up(self, files: Sequence[str], cases: Sequence[str], make: MakePieces) -> list[Piece]:
        """Take files and cases away from it, as pieces for another slot."""
        gone = [piece for piece in self.pieces if piece.file in files]
        self.pieces = [piece for piece in self.pieces if piece.file not in files]
        taken = set(cases)
        self.queue = deque(case for case in self.queue if case not in taken)
        self._forget(cases)
        return gone + self._as_pieces(cases, make)

    def unfinished(self, make: MakePieces) -> Iterator[Piece]:
        """
        Everything that it held and did not finish, but for the case or file that is to blame.

        A case that was in its teardown while the next file was imported is not to blame: it must run again.
        """
        innocent = [self.running] if self.running and self.collecting else []
        yield from self._as_pieces([*innocent, *self.queue], make)
        yield from self.pieces

    def _forget(self, cases: Iterable[str]) -> None:
        self._queue_s -= sum(self._expected_s.pop(case) for case in cases)
        if not self.queue:
            self._queue_s = 0.0  # no rounding is carried on

    def _as_pieces(self, cases: Sequence[str], make: MakePieces) -> list[Piece]:
        by_file: dict[str, list[str]] = {}
        for case in cases:
            by_file.setdefault(self._file_of[case], []).append(case)
        return [piece for file, members in by_file.items() for piece in make(file, members)]
