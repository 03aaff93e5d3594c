"""What tests there are, by what slots tell of collection: the first word counts, later ones are compared with it."""

from __future__ import annotations

from collections.abc import Sequence

from dt_action.engine.actions import Action, Limits, Tell
from dt_action.engine.dealing import Dealer
from dt_action.engine.fixtures import SingleFixtures
from dt_action.engine.intake import Intake
from dt_action.engine.ledger import Ledger
from dt_action.engine.slots import Slot
from dt_action.engine.verdicts import Verdicts
from dt_action.model.case import Attempt
from dt_action.model.event import FileCollected, FilesKnown
from dt_action.model.plan import Plan
from dt_action.model.slot_protocol import Collected, Collection, Found


class Catalogue:
    """
    Enters in the ledger what is collected, and lets it wait. `is_known` once any slot has told what there is.

    `order` has all cases in pytest's order, where one process collected everything.
    """

    def __init__(
        self,
        plan: Plan,
        limits: Limits,
        ledger: Ledger,
        verdicts: Verdicts,
        intake: Intake,
        *,
        dealer: Dealer,
        fixtures: SingleFixtures,
    ) -> None:
        self.is_known = False
        self.order: list[tuple[str, tuple[str, ...]]] = []
        self._plan = plan
        self._limits = limits
        self._ledger = ledger
        self._verdicts = verdicts
        self._intake = intake
        self._dealer = dealer
        self._fixtures = fixtures
        self._digest = ""
        self._listed: dict[str, frozenset[str]] = {}

    def take_files(self, files: Sequence[str], places: int) -> list[Action]:
        """These are the files that pytest would collect. There will be about so many `places`, that is, slots."""
        self.is_known = True
        own = self._plan.own(files)
        self._ledger.set_files(own, add=not self._plan.is_selection)
        told = Tell(FilesKnown(files=tuple(files)))
        return [told, *self._intake.open(self._ledger.in_order_of(own), places)]

    def take_cases(self, state: Slot, collection: Collection, places: int) -> list[Action]:
        """These are all cases, by the first slot that collected them."""
        self.is_known = True
        self._digest = collection.digest
        self._ledger.set_files(self._plan.own(collection.files), add=not self._plan.is_selection)
        actions: list[Action] = [Tell(FilesKnown(files=collection.files, whole=collection.whole))]
        # A file of which only a part is this shard's is dealt as a file: the slot that takes it works out the part.
        # So is one whose tests need devices, which this slot may not see: what there is to collect may depend on them.
        late = {
            *collection.late,
            *(
                path
                for path, file in self._ledger.files.items()
                if file.portion is not None or self._intake.needs_devices(file)
            ),
        }
        segments = segments_of(collection.cases)
        if self._limits.one_by_one:
            segments = [(path, [case]) for path, cases in segments for case in cases]
        self._ledger.note_groups(segments)
        by_file: dict[str, list[Found]] = {}
        for path, cases in segments:
            by_file.setdefault(path, []).extend(cases)
        for path in [path for path in collection.files if path in self._ledger.files and path not in late]:
            file = self._ledger.files[path]
            chosen = [case for case in by_file.get(path, ()) if not file.chosen or case.id in file.chosen]
            self._listed[path] = frozenset(case.id for case in chosen)
            actions += self._fixtures.use(path, chosen)
            fresh = self._ledger.register(path, chosen)
            self._ledger.close_file(path)
            actions.append(Tell(FileCollected(file=path, cases=fresh, worker=state.worker, slot=state.name)))
        opened = []
        self.order = [(path, tuple(case.id for case in cases)) for path, cases in segments]
        for path, cases in segments:
            wanted = [case.id for case in cases if case.id in self._listed.get(path, ())]
            if wanted:
                is_whole = len(wanted) == len(self._listed[path]) == len(cases)
                opened.append((self._ledger.files[path], wanted, is_whole))
        actions += self._intake.open_cases(opened, places)
        left = [file for file in self._ledger.in_order_of(collection.files) if file.path in late]
        return actions + self._intake.open(left, places)

    def compare(self, state: Slot, collection: Collection) -> None:
        """Note the files of which a later slot does not find all cases that the first one told."""
        if self._listed and collection.digest != self._digest:
            found = {case.id for case in collection.cases}
            state.lacks.update(file for file, cases in self._listed.items() if not found.issuperset(cases))

    def take_file(self, state: Slot, told: Collected, now: float) -> list[Action]:
        """The slot has collected a file that it was handed."""
        file = told.file
        state.heard_at = now
        state.known.update(case.id for case in told.cases)
        withheld, part = told.withheld, None
        if self._ledger.is_divided(file):  # what is of another part is told by who collects that
            part = state.collecting.part if state.collects(file) and state.collecting is not None else None
            withheld = tuple(case for case in withheld if part is not None and part.has(case.id))
        fresh = self._ledger.register(file, [*told.cases, *withheld])
        self._ledger.close_file(file, part)
        event = FileCollected(
            file=file,
            cases=fresh,
            duration_s=told.duration_s,
            worker=state.worker,
            slot=state.name,
            divided=told.divided,
        )
        actions: list[Action] = [Tell(event)]
        if not state.collects(file):
            return actions  # the file was taken away from it meanwhile
        found = [case.id for case in told.cases]
        to_run = [id for id in dict.fromkeys(found) if not self._ledger[id].is_final]
        piece = state.end_file(file, to_run, told.duration_s, now)
        gone = sorted(set(piece.cases).difference(found)) if piece is not None else []
        if gone:
            state.lacks.add(file)
            actions += self._not_found(file, gone, now)
        actions += self._fixtures.use(file, told.cases)
        actions += self._dealer.keep_off(state)
        actions += self._dealer.spread(state, file)
        elsewhere = [case.id for case in withheld if not self._ledger[case.id].is_final]
        actions += self._verdicts.admit_cases(file, elsewhere)
        return actions

    def _not_found(self, file: str, cases: Sequence[str], now: float) -> list[Action]:
        """A slot does not find these cases under the ids that another one told: only that one can run them."""
        if any(set(cases) <= other.known for other in self._dealer.slots.values() if file not in other.lacks):
            return self._verdicts.admit_cases(file, [case for case in cases if not self._ledger[case].is_final])
        again = "pytest did not find it when the file was collected again; its id may differ from process to process"
        attempt = Attempt(outcome="error", message=again)
        return [action for case in cases for action in self._verdicts.conclude(case, attempt, now=now, final=True)]


def segments_of(cases: Sequence[Found]) -> list[tuple[str, list[Found]]]:
    """Cases by file, as long as those of one file follow each other."""
    segments: list[tuple[str, list[Found]]] = []
    for case in cases:
        file = case.id.partition("::")[0]
        if not segments or segments[-1][0] != file:
            segments.append((file, []))
        segments[-1][1].append(case)
    return segments
