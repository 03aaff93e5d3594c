"""What a worker lends: never more than it has, all of a demand at once, and enough for whoever waits alone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dt_action.engine import Limits
from dt_action.engine.brain import Dispatcher
from dt_action.engine.lending import Lending
from dt_action.engine.pieces import Piece, parts_of
from dt_action.engine.stock import Stock
from dt_action.model.hardware import Capability, Clause, Device, DeviceNeed, FileNeeds, Requirement
from dt_action.model.holding import Holding, combined, demand_of
from dt_action.model.plan import Plan, PlannedFile

needs = st.builds(
    DeviceNeed, kind=st.sampled_from(("cuda", "gpu", "cpu")), count=st.integers(1, 3), memory_bytes=st.integers(0, 12)
)
clauses = st.builds(Clause, any_of=st.lists(needs, min_size=1, max_size=2).map(tuple))
requirements = st.builds(
    Requirement,
    all_of=st.lists(clauses, max_size=2).map(tuple),
    min_memory_bytes=st.integers(0, 20),
    enforced=st.booleans(),
)


@st.composite
def capabilities(draw: st.DrawFn) -> Capability:
    sizes = draw(st.lists(st.sampled_from((0, 6, 12)), max_size=4))
    devices = tuple(Device(kind="cuda", index=at, memory_bytes=size) for at, size in enumerate(sizes))
    return Capability(devices=devices, memory_bytes=draw(st.integers(0, 30)), cpu_count=draw(st.integers(1, 4)))


def assert_within(capability: Capability, lent: list[Holding]) -> None:
    whole = combined(lent)
    for share in whole.shares:
        assert share.units <= (capability.devices[share.device].memory_bytes or 1)
    assert whole.memory_bytes <= capability.memory_bytes
    assert whole.processors <= capability.cpu_count


@given(capabilities(), st.lists(st.tuples(requirements, st.integers(0, 5)), max_size=20), st.booleans())
@settings(max_examples=60, deadline=None)
def test_nothing_is_lent_beyond_its_size(
    capability: Capability, asked: list[tuple[Requirement, int]], shares: bool
) -> None:
    stock, lent = Stock(capability, shares=shares), []
    for requirement, which in asked:
        holding = stock.fit(demand_of(requirement))
        if holding is not None:
            stock.lend(holding)
            lent.append(holding)
            devices = tuple(capability.devices[at] for at in sorted(holding.devices))
            given_ = Capability(devices=devices, memory_bytes=holding.memory_bytes, cpu_count=capability.cpu_count)
            assert given_.satisfies(requirement), "all of it, or nothing"
        elif lent:
            stock.take_back(lent.pop(which % len(lent)))
        assert_within(capability, lent)
    for holding in lent:
        stock.take_back(holding)
    for requirement, _ in asked:
        fits = stock.fit(demand_of(requirement)) is not None
        assert fits == capability.satisfies(requirement), "whoever waits alone gets what the worker has"


@given(capabilities(), st.lists(requirements, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_what_the_first_in_turn_waits_for_is_not_lent_to_others(
    capability: Capability, asked: list[Requirement]
) -> None:
    asked = [requirement for requirement in asked if capability.satisfies(requirement)]
    lending = Lending()
    lending.set_worker("w", capability)
    pieces = [_piece(requirement) for requirement in asked]
    for number, piece in enumerate(pieces[1:]):
        holding = lending.seat_for("w", piece.demand, piece)
        if holding is not None:
            lending.open(f"s{number}", "w", holding)
    if not pieces or lending.seat_for("w", pieces[0].demand, pieces[0]) is not None:
        return
    lending.claim("w", pieces[0].demand, pieces[0])
    for number in range(len(pieces)):  # one after the other ends, and what comes in its place must not delay the first
        lending.close(f"s{number}")
        for at, other in enumerate(pieces[1:]):
            holding = lending.seat_for("w", other.demand, other)
            if holding is not None and lending.seat_for("w", pieces[0].demand, pieces[0]) is None:
                lending.open(f"t{number}-{at}", "w", holding)
    assert lending.seat_for("w", pieces[0].demand, pieces[0]) is not None, "it starves behind others"


@given(capabilities(), st.lists(st.tuples(requirements, st.integers(1, 9), st.booleans()), min_size=2, max_size=12))
@settings(max_examples=60, deadline=None)
def test_what_runs_beside_a_claim_never_puts_it_off(
    capability: Capability, asked: list[tuple[Requirement, int, bool]]
) -> None:
    lending = Lending()
    lending.set_worker("w", capability)
    waiting = [
        (_piece(need, float(takes), is_timed=known, file=f"t{at}.py"), takes)
        for at, (need, takes, known) in enumerate(asked)
    ]
    waiting = [(piece, takes) for piece, takes in waiting if capability.satisfies(piece.requirement)]
    running: dict[str, int] = {}
    promised: tuple[Piece, float] | None = None
    while waiting:
        started = []
        firsts: dict[object, Piece] = {}
        for piece, takes in waiting:
            if firsts.setdefault(piece.key, piece) is not piece:
                continue  # of those that need the same, the first one is asked for, as in the backlog
            holding = lending.seat_for("w", piece.demand, piece)
            if holding is None:
                lending.claim("w", piece.demand, piece)
                if promised is None and piece is waiting[0][0]:
                    promised = piece, _met_by(lending, piece, running)
                continue
            if promised is not None and promised[0] is piece:
                assert lending.now <= promised[1], f"{piece.demand} was put off from {promised[1]} to {lending.now}"
                promised = None
            lending.open(piece.file, "w", holding, piece.known_s)
            lending.unclaim(piece)
            running[piece.file] = int(lending.now) + takes
            started.append(piece)
            assert_within(capability, [*lending.lent().values()])
            if promised is None and started[-1] is waiting[0][0]:
                break
        waiting = [(piece, takes) for piece, takes in waiting if piece not in started]
        if not started:
            assert running, "what would fit alone waits for nobody"
            lending.now = min(running.values())
            for slot in [slot for slot, at in running.items() if at == lending.now]:
                del running[slot]
                lending.close(slot)


def _met_by(lending: Lending, piece: Piece, running: dict[str, int]) -> float:
    """When the piece could begin if nothing were begun before it, by the times when what runs really ends."""
    stock = lending._stocks["w"]
    in_order = sorted(running.items(), key=lambda entry: entry[1])
    ends = [(at, lending._held[slot]) for slot, at in in_order if slot in lending._held]
    found = stock.soonest_after(piece.demand, ends)
    assert found is not None
    return found[0]


def test_a_short_test_runs_beside_a_claim_and_one_of_which_nothing_is_known_does_not() -> None:
    def needs_gib(gib: int) -> Requirement:
        return Requirement(min_memory_bytes=gib, enforced=True)

    lending = Lending()
    lending.set_worker("w", Capability(memory_bytes=10, cpu_count=4))
    long, big = _piece(needs_gib(6), 9.0, is_timed=True), _piece(needs_gib(8), 5.0, is_timed=True)
    holding = lending.seat_for("w", long.demand, long)
    assert holding is not None
    lending.open("s0", "w", holding, long.known_s)
    lending.claim("w", big.demand, big)
    for gib, seconds, is_timed, may in ((4, 9.0, True, True), (4, 9.1, True, False), (4, 1.0, False, False)):
        other = _piece(needs_gib(gib), seconds, is_timed=is_timed)
        assert (lending.seat_for("w", other.demand, other) is not None) == may
    beside = _piece(needs_gib(2), 99.0)
    assert lending.seat_for("w", beside.demand, beside) is not None, "it leaves what the claim needs"


def test_a_claim_goes_over_to_the_piece_that_comes_before_the_one_that_made_it() -> None:
    requirement = Requirement(all_of=(Clause(any_of=(DeviceNeed(kind="cuda"),)),), enforced=True)
    earlier, before_it = _piece(requirement), _piece(requirement)
    lending = Lending()
    lending.set_worker("w", Capability(devices=(Device(kind="cuda"),), memory_bytes=10, cpu_count=2))
    holding = lending.seat_for("w", earlier.demand, earlier)
    assert holding is not None
    lending.open("s0", "w", holding)
    lending.claim("w", earlier.demand, earlier)
    lending.close("s0")
    assert lending.seat_for("w", before_it.demand, before_it) is None
    lending.claim("w", before_it.demand, before_it)
    assert lending.seat_for("w", before_it.demand, before_it) is not None


def _piece(requirement: Requirement, expected_s: float = 1.0, *, is_timed: bool = False, file: str = "a.py") -> Piece:
    return Piece(
        file=file,
        needs=FileNeeds(path=file),
        cases=(f"{file}::t",),
        requirement=requirement,
        expected_s=expected_s,
        is_timed=is_timed,
    )


names = st.sampled_from(("t", "t[1]", "t[2]", "u", "u[1]"))


@given(requirements, st.dictionaries(names, requirements, max_size=5))
@settings(max_examples=60, deadline=None)
def test_each_test_of_a_file_is_in_one_of_its_parts(default: Requirement, cases: dict[str, Requirement]) -> None:
    parts = parts_of(FileNeeds(path="a.py", default=default, cases=cases), lambda need: not demand_of(need).is_nothing)
    whole = FileNeeds(path="a.py", default=default, cases=cases)
    for name in ("t", "t[1]", "t[2]", "t[3]", "u", "u[1]", "v", "v[1]"):
        mine = [needs for needs, part in parts if part.has(f"a.py::{name}")]
        assert len(mine) == 1
        if not demand_of(whole.of(name)).is_nothing:
            assert demand_of(mine[0].of(name)) == demand_of(whole.of(name))


def test_a_question_claims_nothing_and_what_is_recorded_does() -> None:
    cuda = Requirement(all_of=(Clause(any_of=(DeviceNeed(kind="cuda"),)),), enforced=True)
    names = ("test_a.py", "test_b.py")
    files = tuple(PlannedFile(path=name, needs=FileNeeds(path=name, default=cuda)) for name in names)
    brain = Dispatcher(Plan(files=files), Limits())
    brain.worker_joined("w", Capability(devices=(Device(kind="cuda"),)), 0.0)
    brain.files_known(names, 0.0)
    assert brain.wants_seat_on("w")
    brain.start("gw0", "w", sees_none=False)

    assert not brain.wants_seat_on("w"), "its only device is taken"
    assert brain.backlog.lending.claimants() == {}
    brain.claim_seat_on("w")
    assert list(brain.backlog.lending.claimants()) == ["w"]
