"""The algebra of merging records, and their bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from past_samples import memories, records, result, run_of

from dt_action.errors import UnreadableError
from dt_action.history import RunRecord, Seen, merged, records_of
from dt_action.history.codec import decode, encode
from dt_action.history.records import MOST_RAN

MOST = 3


@given(memories, memories)
def test_a_merge_does_not_depend_on_the_order(one: list[RunRecord], other: list[RunRecord]) -> None:
    assert merged(one, other, most=MOST) == merged(other, one, most=MOST)
    assert encode(merged(one, other)) == encode(merged(reversed(other), reversed(one)))


@given(memories, memories, memories)
@settings(max_examples=300)
def test_a_merge_does_not_depend_on_the_grouping_even_where_each_is_bounded(
    one: list[RunRecord], two: list[RunRecord], three: list[RunRecord]
) -> None:
    whole = merged(one, two, three, most=MOST)
    assert merged(merged(one, two, most=MOST), three, most=MOST) == whole
    assert merged(one, merged(two, three, most=MOST), most=MOST) == whole


@given(memories)
def test_a_merge_with_itself_changes_nothing(one: list[RunRecord]) -> None:
    once = merged(one, most=MOST)
    assert merged(once, once, one, most=MOST) == once


@given(memories, st.integers(1, 5))
def test_a_memory_is_bounded_and_keeps_the_newest_of_each_run_once(one: list[RunRecord], most: int) -> None:
    kept = merged(one, most=most)
    assert len(kept) == min(most, len({record.id for record in one}))
    assert len({record.id for record in kept}) == len(kept)
    newest = {id: max(record.started_at for record in one if record.id == id) for id in {item.id for item in one}}
    assert [record.started_at for record in kept] == sorted(newest.values(), reverse=True)[:most]


@given(st.lists(records, max_size=5, unique_by=lambda record: record.id))
def test_what_is_written_reads_back(some: list[RunRecord]) -> None:
    assert list(decode(encode(some))) == some


def test_only_the_newest_runs_remember_what_files_their_tests_ran() -> None:
    some = [RunRecord(id=f"r{n}", started_at=float(n), ran={"a.py": ("x.py",)}) for n in range(MOST_RAN + 4)]
    kept = merged(some[: MOST_RAN + 1], some[3:])
    assert [bool(record.ran) for record in kept] == [True] * MOST_RAN + [False] * 4
    assert merged(kept, some) == kept


def test_a_run_is_remembered_without_what_never_reported() -> None:
    run = run_of(result("a.py::x", "failed", "passed"), result("a.py::y", "lost"), commit="c", id="r")
    assert records_of(run) == (RunRecord(id="r", commit="c", cases={"a.py::x": Seen("passed", 0.01, True)}),)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_history_or_an_error_for_the_user(content: bytes) -> None:
    try:
        records = decode(content)
    except UnreadableError as refused:
        assert str(refused)
    else:
        assert decode(encode(records)) == records


GOOD = encode(
    [
        RunRecord(
            id="r",
            cases={"a.py::x": Seen("passed", 1.0), "a.py::y": Seen("failed", 2.0)},
            ran={"a.py": ("pkg/x.py", "pkg/y.py")},
        )
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
@settings(max_examples=400)
def test_a_history_with_any_value_replaced_is_read_or_refused(data: st.DataObject) -> None:
    document = json.loads(GOOD)
    run = document["runs"][0]
    holder = data.draw(st.sampled_from([document, run, run["ran"], run["ran"]["by"]]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)
    try:
        for record in decode(json.dumps(document).encode()):
            assert all(isinstance(case, str) for case in record.cases)
    except UnreadableError:
        pass


@given(st.integers(0, len(GOOD) - 1))
def test_a_truncated_history_is_refused(length: int) -> None:
    with pytest.raises(UnreadableError):
        decode(GOOD[:length])


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"version": 1}', b'{"version": 2, "cases": [], "runs": [[]]}', b"1e999", b"\xff\xfe", b"nul"],
    ids=["deep", "older", "run", "infinite", "utf-16", "word"],
)
def test_foreign_content_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode(content)
