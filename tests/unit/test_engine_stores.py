"""One engine over two stores: the same inputs tell the same events, and a record lived through again is the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from support.scenes import Scene, run, scenes, state_of

from dt_action.coordinator.run_store import Kept, SqlStore, inputs_of
from dt_action.coordinator.schema import migrate
from dt_action.coordinator.store import EVENTS, Changes, open_engine, rows_of
from dt_action.engine import Limits, Output, RunState, Tell
from dt_action.engine.engine import Engine, MemoryStore
from dt_action.engine.inputs import Hear, Input
from dt_action.model.event import CaseFinished, Ended
from dt_action.model.plan import Plan
from dt_action.model.slot_protocol import Finished, Garbled
from dt_action.remote import wire

RELAXED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


class Database:
    """The coordinator's tables, with room for the runs of many examples."""

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        migrate(self.engine)
        self.runs = 0

    def keep(self, scene: Scene, inputs: list[tuple[float, Input]]) -> str:
        """Put the inputs into an engine that is kept here, each in a transaction of its own, but for its end."""
        self.runs += 1
        kept = Kept(run=f"run-{self.runs}", repository="r")
        now = [0.0]
        engine = Engine(state_of(scene), lambda: now[0])
        for at, what in inputs:
            now[0] = at
            changes = Changes()
            engine.put(SqlStore(kept, changes), what)
            changes.statements.clear()  # with its end a run's inputs are deleted; here they are looked at
            with self.engine.begin() as connection:
                changes.write(connection)
        return kept.run

    def events(self, run: str) -> Iterator[wire.StreamEvent]:
        for row in rows_of(self.engine, sa.select(EVENTS).where(EVENTS.c.run == run).order_by(EVENTS.c.seq)):
            event = wire.event_from_jsonable(json.loads(row.payload), source="a row")
            assert event is not None
            yield event


@pytest.fixture
def database(any_database: str) -> Database:
    return Database(any_database)


@given(scene=scenes())
@settings(max_examples=25, suppress_health_check=RELAXED)
def test_the_same_inputs_tell_the_same_events_in_memory_and_in_a_database(database: Database, scene: Scene) -> None:
    memory = MemoryStore(keeps_inputs=True)
    _, told = run(scene, memory)
    assert memory.events == told

    kept = database.keep(scene, memory.inputs)

    assert [*database.events(kept)] == told


@given(scene=scenes())
@settings(max_examples=25, suppress_health_check=RELAXED)
def test_a_record_read_from_a_database_lives_through_the_same_run(database: Database, scene: Scene) -> None:
    memory = MemoryStore(keeps_inputs=True)
    run(scene, memory)
    kept = database.keep(scene, memory.inputs)
    lived, again = state_of(scene), state_of(scene)

    for (now, what), (_, read) in zip(memory.inputs, inputs_of(database.engine, kept), strict=True):
        assert without_text(again.put(read, now)) == without_text(lived.put(what, now))


def without_text(outputs: list[Output]) -> list[object]:
    """What was decided; the words of a result are kept with the events, and not in the record."""
    return [
        replace(output.event, attempt=replace(output.event.attempt, message="", detail=""))
        if isinstance(output, Tell) and isinstance(output.event, CaseFinished)
        else output
        for output in outputs
    ]


def test_the_record_leaves_out_what_no_decision_depends_on() -> None:
    from dt_action.engine.inputs import input_from_jsonable, input_to_jsonable

    long = "x" * 1000
    failed = Finished(id="a", outcome="failed", duration_s=1, started_at=1, message=long, detail=long, stdout=long)
    skipped = Finished(id="a", outcome="skipped", duration_s=1, started_at=1, message="needs cuda", detail=long)

    kept = input_to_jsonable(Hear(slot="gw0", messages=(failed, skipped)))

    assert long not in json.dumps(kept)
    read = input_from_jsonable(kept, source="a record")
    assert isinstance(read, Hear)
    assert [message.message for message in read.messages if isinstance(message, Finished)] == ["", "needs cuda"]


def test_time_stands_still_while_nobody_looks_after_a_run() -> None:
    now = [100.0]
    engine = Engine(RunState(Plan(files=()), Limits(run_timeout_s=60.0)), lambda: now[0])
    engine.put(MemoryStore(), Hear(slot="gw0", messages=(Garbled(what="nobody"),)))
    now[0] += 30.0
    store = MemoryStore(keeps_inputs=True)
    engine.put(store, Hear(slot="gw0", messages=()))

    now[0] += 3600.0
    later = Engine(RunState(Plan(files=()), Limits(run_timeout_s=60.0)), lambda: now[0])
    list(later.replay(store.inputs))

    assert later.now == pytest.approx(30.0)
    assert not any(isinstance(event, Ended) for event in store.events)
