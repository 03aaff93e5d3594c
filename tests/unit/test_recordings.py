"""Recordings of what tests entered and opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.errors import UnreadableError
from dt_action.history.recordings import gather, pack, unpack
from dt_action.history.records import MOST_RECORDED, RunRecord, merged
from dt_action.model.recording import CaseSeen, Input, Recording
from dt_action.planning.knowledge import Knowledge

UNITS = (("pkg/a.py", "add"), ("pkg/a.py", "C.f"), ("tests/conftest.py", "six"))
numbers = st.frozensets(st.integers(0, 2))
names = st.text(max_size=5)
seen = st.builds(CaseSeen, numbers, st.lists(names, max_size=2).map(tuple), st.frozensets(names, max_size=2))
recordings = st.builds(
    Recording,
    commit=names,
    arguments=names,
    has_units=st.booleans(),
    units=st.just(UNITS),
    outside=numbers,
    traits=st.frozensets(names, max_size=2),
    fixtures=st.dictionaries(names, seen, max_size=2),
    cases=st.dictionaries(names, seen, max_size=3),
    inputs=st.frozensets(st.builds(Input, names, names, names, names), max_size=3),
    left_out=st.frozensets(names, max_size=2),
)


@given(recordings)
def test_a_recording_comes_back_as_it_was(recording: Recording) -> None:
    back = unpack(pack(recording))
    assert back == Recording(**{**vars(recording), "collected": frozenset(recording.cases)})


@pytest.mark.parametrize("text", ["", "x", "eJw=", pack(Recording())[:-8], pack(Recording(outside=frozenset({3})))])
def test_what_is_no_recording_is_told(text: str) -> None:
    with pytest.raises(UnreadableError):
        unpack(text)


def test_what_slots_left_becomes_one_recording_seen_from_the_root(tmp_path: Path) -> None:
    lines = [
        {"k": "units", "u": [["app/a.py", "f.<locals>.<lambda>", 3, "<lambda>"], ["app/a.py", "", 1, "<module>"]]},
        {"k": "units", "u": [["shared/b.py", "", 2, "g"]]},
        {"k": "case", "id": "t.py::x", "u": [0, 1, 2], "x": ["::six"], "t": ["child"]},
        {"k": "input", "p": "shared/d.txt", "h": "open", "by": "app/a.py", "c": "t.py::x"},
        {"k": "outside", "u": [2], "t": []},
        {"k": "case", "id": "cut off", "u": [99], "t": []},
    ]
    (tmp_path / "left").mkdir()
    (tmp_path / "left/1.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"k": "ca')
    (tmp_path / "shared").mkdir()
    (tmp_path / "app").mkdir()
    (tmp_path / "shared/b.py").write_text("\ndef g(): pass\n")
    found = gather(tmp_path / "left", root=tmp_path / "app", prefix="app/", commit="c", arguments="")
    assert found is not None
    assert found.units == (("a.py", "f"), ("a.py", "<module>"), ("../shared/b.py", "g"))
    assert found.cases["t.py::x"] == CaseSeen(frozenset({0, 1, 2}), ("::six",), frozenset({"child"}))
    assert found.inputs == {Input("../shared/d.txt", "open", "a.py", "t.py::x")}
    assert found.outside == {2}
    assert gather(tmp_path, root=tmp_path, prefix="", commit="", arguments="") is None


def test_many_runs_of_a_few_tests_do_not_push_out_the_one_of_all() -> None:
    whole = RunRecord(id="whole", started_at=1.0, recorded="x" * 100)
    few = [RunRecord(id=f"few {number}", started_at=2.0 + number, recorded="y") for number in range(100)]
    kept = [record.id for record in merged([whole], few) if record.recorded]
    assert "whole" in kept
    assert len(kept) <= MOST_RECORDED


def test_all_recordings_count_for_a_case_but_those_in_which_it_is_stale() -> None:
    old = Recording(units=UNITS, cases={"t::a": CaseSeen(frozenset({0})), "t::b": CaseSeen(frozenset({0}))})
    new = Recording(units=UNITS, cases={"t::a": CaseSeen(frozenset({1}))})
    knowledge = Knowledge()
    knowledge.add(new)
    knowledge.add(old)
    assert set(knowledge.entered(UNITS[0])) == {"t::a", "t::b"}
    assert set(knowledge.entered(UNITS[1])) == {"t::a"}
    assert knowledge.unknown("t") == set()
    stale = Knowledge()
    stale.add(new, stale={"t::a"})
    assert stale.unknown("t") is None
    stale.add(old, stale={"t::b"})
    assert stale.unknown("t") == {"t::b"}


def test_a_program_that_may_read_anything_leaves_open_what_a_case_reads_but_not_what_it_enters() -> None:
    knowledge = Knowledge()
    knowledge.add(Recording(cases={"t::a": CaseSeen(frozenset(), (), frozenset({"program"}))}))
    assert knowledge.unknown("t") == set()
    assert knowledge.unknown("t", reads=True) == {"t::a"}
    before = Knowledge()
    before.add(Recording(cases={"t::a": CaseSeen(frozenset())}, traits=frozenset({"program"})))
    assert before.unknown("t", reads=True) == set()


def test_a_fixture_hands_on_what_it_entered_and_what_its_own_fixtures_did() -> None:
    recording = Recording(
        units=UNITS,
        fixtures={
            "outer": CaseSeen(frozenset(), ("inner",)),
            "inner": CaseSeen(frozenset({2}), ("outer",), frozenset({"network"})),
        },
        cases={"t::a": CaseSeen(frozenset(), ("outer",)), "t::b": CaseSeen(frozenset({0}))},
        inputs=frozenset({Input("d.txt", "open", "tests/conftest.py", "inner"), Input("e", "open", "*", "")}),
    )
    knowledge = Knowledge()
    knowledge.add(recording)
    assert set(knowledge.entered(UNITS[2])) == {"t::a"}
    assert knowledge.unknown("t") == {"t::a"}
    assert knowledge.readers("d.txt").cases == {"t::a"}
    assert knowledge.readers("e").through == {"*"}
