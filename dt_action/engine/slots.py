"""What a slot holds: the mirror of one process, kept from what it tells and what it was told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat

from dt_action.engine.pace import Pace
from dt_action.engine.pieces import Piece

BLIND_CREDIT = 2
"""So many cases of a file that is not collected yet may be begun without asking: each may take minutes."""

MakePieces = Callable[[str, Sequence[str]], list[Piece]]
"""Makes pieces of cases of one file."""


@dataclass(slots=True, kw_only=True)
class Slot:
    """
    One process. `queue` has the collected cases that it has not begun, in its order; the first `credit` of them it
    may begin by itself. `pieces` are not collected yet. `importing` is the module that it imports before it asks for
    work. `since` is when the running case, collection or import began; `limit_s` is that case's own timeout, from
    `overstays_at` on it takes far longer than expected, and then `held_up_s` is how long it has been running, else 0:
    what waits behind it may wait for as long again. After `told_s` it was last told that the case takes too long. Of
    `kept_files` nothing can be given away any more. `ahead_s` is about how many seconds the slot is busy with what it
    holds, and with what holds that up, as it was reckoned when it last told or was told something.

    `retrying` are the cases that it is to run once more, without being told to. `is_held` tells that its last case
    is over but for its teardown: it keeps its fixtures, and is ready for more. `is_leaving` tells that it was told to
    stop. Files that it `lacks` hold tests that it does not find, under ids that differ from process to process.

    `handed` are the files of which it was ever handed something, `known` the cases that it ever told as its own, and
    `begun` those that it ever began, also where they had been taken away from it meanwhile: no runner tells of others.
    """

    name: str
    worker: str
    heard_at: float
    pace: Pace
    pieces: list[Piece] = field(default_factory=list)
    importing: str = ""
    collecting: Piece | None = None
    queue: deque[str] = field(default_factory=deque)
    running: str = ""
    retrying: list[str] = field(default_factory=list)
    limit_s: float | None = None
    told_s: float = 0.0
    overstays_at: float = 0.0
    since: float = 0.0
    credit: int = 0
    low_water: int = 0
    is_resting: bool = False
    is_doomed: bool = False
    is_held: bool = False
    is_leaving: bool = False
    lacks: set[str] = field(default_factory=set)
    collect_s: dict[str, float] = field(default_factory=dict)
    begun_groups: set[str] = field(default_factory=set)
    kept_files: set[str] = field(default_factory=set)
    handed: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    held_up_s: float = 0.0
    ahead_s: float = 0.0
    _known_s: float = 0.0
    _unknown: dict[str, int] = field(default_factory=dict)
    _file_of: dict[str, str] = field(default_factory=dict)

    @property
    def has_work(self) -> bool:
        """True while something was handed to it that it has not begun."""
        return bool(self.queue or self.pieces or self.collecting)

    @property
    def is_busy(self) -> bool:
        """True while something that was handed to it has no outcome yet."""
        return bool(self.running) or self.has_work

    @property
    def queue_s(self) -> float:
        """About how many seconds the queue takes, by all that is known now."""
        queue_s = self._known_s
        for file, count in self._unknown.items():
            queue_s += count * self.pace.of_file(file)
        return queue_s

    @property
    def can_give(self) -> bool:
        """True where there is something that it may not begin without asking, or that it might be kept from."""
        if self.held_up_s:
            return bool(self.queue or self.pieces)
        return self.credit < len(self.queue) or (self.credit == len(self.queue) and bool(self.pieces))

    def reckon(self) -> None:
        """Work out `ahead_s` anew, by all that is known now."""
        self.ahead_s = self.held_up_s + self.queue_s
        for piece in self.pieces:
            self.ahead_s += piece.expected_s

    def take(self, pieces: Sequence[Piece]) -> None:
        """It is handed pieces, for after what it has."""
        self.pieces.extend(pieces)
        self.handed.update(piece.file for piece in pieces)
        self.reckon()

    def begin_file(self, file: str, now: float) -> None:
        """It imports a file; a case in its teardown may be running at the same time."""
        for index, piece in enumerate(self.pieces):
            if piece.file == file:
                self.collecting = self.pieces.pop(index)
                self.since = now
                self.reckon()
                return

    def collects(self, file: str) -> bool:
        """True where it imports that file now, and was not told to leave it."""
        return self.collecting is not None and self.collecting.file == file

    def end_file(self, file: str, cases: Sequence[str], duration_s: float, now: float) -> Piece | None:
        """It knows the cases of the file, and will run them in this order."""
        piece, self.collecting = self.collecting, None
        self.queue.extend(cases)
        self._file_of.update(dict.fromkeys(cases, file))
        known_s = [seconds for seconds in map(self.pace.known, cases) if seconds is not None]
        self._known_s += sum(known_s)
        if len(known_s) < len(cases):
            self._unknown[file] = self._unknown.get(file, 0) + len(cases) - len(known_s)
        self.reckon()
        self.collect_s[file] = max(duration_s, self.collect_s.get(file, 0.0))
        self.since = now
        return piece

    def begin_case(self, case: str, now: float, group: str = "") -> bool:
        """It runs a case, which is in `group`; False for one that it does not hold (any more)."""
        self.begun.add(case)
        if case in self.retrying:
            self.retrying.remove(case)
        if self.queue and self.queue[0] == case:
            self.queue.popleft()
        elif case in self.queue:
            self.queue.remove(case)
        else:
            return False
        self._forget([case])
        self.reckon()
        self.running = case
        self.told_s = 0.0
        self.since = self.heard_at = now
        self.credit = max(0, self.credit - 1)
        if group:
            self.begun_groups.add(group)
        return True

    def try_again(self, case: str) -> None:
        """It runs the case that it just ended once more, at once."""
        self.retrying.append(case)
        self.queue.appendleft(case)
        self.credit += 1
        known_s = self.pace.known(case)
        if known_s is None:
            file = self._file_of[case]
            self._unknown[file] = self._unknown.get(file, 0) + 1
        else:
            self._known_s += known_s
        self.reckon()

    def end_case(self, now: float) -> None:
        """The case that it ran is over."""
        self.heard_at = now
        self.running = ""
        self.is_held = False
        if self.held_up_s:
            self.held_up_s = 0.0
            self.reckon()

    def file_of(self, case: str) -> str:
        """The file of a case that it holds or held."""
        return self._file_of[case]

    def expected_s(self, case: str) -> float:
        """The seconds that a case of it is expected to take, by all that is known now."""
        return self.pace.of_case(self._file_of[case], case)

    def fits_into(self, seconds: float) -> int:
        """How many of the next cases that it holds fit into so much time, as far as that can be told."""
        count = 0
        for expected_s in self._next_cases_s():
            seconds -= expected_s
            if seconds < 0:
                break
            count += 1
        return count

    def _next_cases_s(self) -> Iterator[float]:
        for case in self.queue:
            yield self.expected_s(case)
        for piece in self.pieces:
            if piece.cases:
                yield from (self.pace.of_case(piece.file, case) for case in piece.cases)
            else:
                yield from repeat(self.pace.of_file(piece.file), BLIND_CREDIT)

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
        self.reckon()
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
        if not self.queue:
            self._known_s = 0.0  # no rounding is carried on
            self._unknown.clear()
            return
        for case in cases:
            known_s = self.pace.known(case)
            if known_s is not None:
                self._known_s -= known_s
                continue
            file = self._file_of[case]
            self._unknown[file] -= 1
            if not self._unknown[file]:
                del self._unknown[file]

    def _as_pieces(self, cases: Sequence[str], make: MakePieces) -> list[Piece]:
        by_file: dict[str, list[str]] = {}
        for case in cases:
            by_file.setdefault(self._file_of[case], []).append(case)
        return [piece for file, members in by_file.items() for piece in make(file, members)]
