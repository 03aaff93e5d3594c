"""The board that many jobs write: joining in any order, what stands, and what it looks like."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.model.run import CONCLUSIONS, Conclusion
from dt_action.providers.board import Board, Entry, board_in, fair_shares

NOTE = "*Shortened.*"
HOSTILE = [
    "<!-- distributed-testing key=results board=AAAA -->",
    "-->",
    "| a | b |\n\n</details>",
    "```\n~~~",
    "@everyone #1 \u202e\x1b[31m",
    "ü€😀" * 50,
]


def entry(key: str, run: int = 1, attempt: int = 1, said: Conclusion = "passed", **more: object) -> Entry:
    values = {"writer": f"{key}-{run}-{attempt}", "title": key, "commit": f"c{run // 10}", "conclusion": said, **more}
    failed = int(said == "failed")
    return Entry(key=key, run=run, attempt=attempt, passed=3, failed=failed, **values)  # type: ignore[arg-type]


entries = st.builds(
    entry,
    st.sampled_from(["unit", "ui", "gpu"]),
    run=st.integers(10, 39),
    attempt=st.integers(1, 3),
    said=st.sampled_from(CONCLUSIONS),
    writer=st.sampled_from(["w1", "w2"]),
)


@given(st.lists(entries, max_size=12), st.randoms())
def test_any_order_and_grouping_of_writers_leaves_the_same_board(told: list[Entry], order: object) -> None:
    """A commit's runs lie together, as a service numbers them."""
    whole = Board.from_entries(told)
    shuffled = [*told]
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    one_by_one = Board()
    for item in shuffled:
        one_by_one = one_by_one.with_(item)
    half = len(shuffled) // 2
    joined = Board.from_entries(shuffled[:half]).join(Board.from_entries(shuffled[half:]), Board.from_entries(shuffled))

    def names(board: Board) -> list[tuple[str, tuple[int, int], str]]:
        return sorted(item.name for item in board.entries)

    assert names(one_by_one) == names(whole) == names(joined)


@given(st.lists(entries, min_size=1, max_size=12))
def test_the_worst_that_still_stands_is_what_the_board_says(told: list[Entry]) -> None:
    board = Board.from_entries(told)
    newest = max(item.order for item in board.entries)
    assert newest == max(item.order for item in told)
    assert board.conclusion == min((item.conclusion for item in board.entries), key=CONCLUSIONS.index)
    assert {item.commit for item in board.entries} == {max(told, key=lambda item: (item.order, item.commit)).commit}


def test_a_green_job_never_replaces_a_red_one_but_its_own_next_attempt_does() -> None:
    board = Board.from_entries([entry("unit", said="failed")]).with_(entry("ui"))
    assert board.conclusion == "failed"
    assert board.with_(entry("ui", attempt=2)).conclusion == "failed"
    assert board.with_(entry("unit", attempt=2)).conclusion == "passed"
    assert board.with_(entry("unit", attempt=2)).with_(entry("unit", said="failed")).conclusion == "passed"


def test_a_newer_commit_wipes_the_board_and_an_older_one_that_ends_late_adds_nothing() -> None:
    board = Board.from_entries([entry("unit", run=10, said="failed"), entry("ui", run=11)]).with_(entry("ui", run=20))
    assert [item.name for item in board.entries] == [entry("ui", run=20).name]
    assert board.with_(entry("gpu", run=12, said="failed")) == board


def test_two_jobs_that_nobody_can_tell_apart_both_stand_and_are_noticed() -> None:
    red, green = entry("test", said="failed", writer="a"), entry("test", writer="b")
    board = Board.from_entries([red]).with_(green)
    assert board.conclusion == "failed"
    assert board.rivals_of(green) == (red,)
    assert "`test` (2)" not in board.table()
    assert "test (2)" in board.table()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_and_words_come_back_from_the_comment_and_forge_nothing(text: str) -> None:
    board = Board.from_entries(
        [entry("unit", said="failed", title=text, workflow=text, text=text), entry("ui", workflow="CI")]
    )
    body = board.body("results", 60_000, NOTE)
    assert board_in(body, "results") == board
    assert body.count("board=") == 1 + body.count("board=AAAA")
    assert len([line for line in body.splitlines() if line.startswith("| ") and "---" not in line]) >= 3


@pytest.mark.parametrize(
    "body", ["", "hello", "<!-- distributed-testing key=other board=AAAA -->", "> <!-- distributed"]
)
def test_what_is_not_ours_is_no_board(body: str) -> None:
    assert board_in(body, "results") is None


@pytest.mark.parametrize(
    "mark",
    [
        "<!-- distributed-testing key=results board=AAAA -->",
        "<!-- distributed-testing key=results board=eJyLjgUAARUAuQ== -->",
        "<!-- distributed-testing key=results order=1000.1 state=1754d4ace0917f00 -->",
        "<!-- distributed-testing key=results -->",
    ],
)
def test_a_comment_of_an_earlier_version_or_a_damaged_one_is_an_empty_board(mark: str) -> None:
    assert board_in(f"{mark}\n## text", "results") == Board()


@given(
    st.lists(st.tuples(st.sampled_from(CONCLUSIONS), st.text(max_size=3_000)), min_size=1, max_size=30),
    st.integers(3_000, 60_000),
)
def test_a_board_fits_its_comment_and_every_job_has_its_line_there(
    told: list[tuple[Conclusion, str]], budget: int
) -> None:
    board = Board.from_entries(
        entry(f"job{n}", said=said, text=f"## head\n\n{text}") for n, (said, text) in enumerate(told)
    )
    body = board.body("results", budget, NOTE)
    assert len(body.encode("utf-8", "replace")) <= budget
    found = board_in(body, "results")
    assert found is not None
    assert [replace(item, text="") for item in found.entries] == [replace(item, text="") for item in board.entries]
    if len(told) > 1 and budget > 20_000:
        assert all(f"`job{number}`" in body for number in range(len(told)))


def test_four_hundred_jobs_fit_with_a_line_each() -> None:
    text = "## failed\n\n" + "a line of a traceback that is not short\n" * 400
    board = Board.from_entries(
        entry(f"job {n:03}", said="failed" if n % 9 == 0 else "passed", text=text) for n in range(400)
    )
    body = board.body("results", 60_000, NOTE)
    assert len(body) <= 60_000
    assert len(re.findall(r"^\| `job \d{3}`", body, re.MULTILINE)) == 400


def test_a_red_job_is_told_in_full_before_green_ones_have_any_room() -> None:
    trace = "".join(f"line {n} of a trace\n" for n in range(1_000))
    board = Board.from_entries(
        [entry("red", said="failed", text=trace), *(entry(f"g{n}", text=trace) for n in range(9))]
    )
    shown = board.markdown(len(trace) + 2_000, NOTE)
    assert "line 999 of a trace" in shown
    assert shown.count("line 500 of a trace") == 1


def test_a_lone_job_is_told_as_it_tells_itself() -> None:
    board = Board.from_entries([entry("unit", text="## passed: 3\n\nall of it\n")])
    assert board.markdown(1_000, NOTE) == "## passed: 3\n\nall of it\n"


@given(st.lists(st.integers(0, 1_000), max_size=20), st.integers(0, 5_000))
def test_shares_are_never_more_than_there_is_and_nobody_lacks_while_room_is_left(needs: list[int], room: int) -> None:
    shares = fair_shares(needs, room)
    assert sum(shares) <= room
    assert all(share <= need for share, need in zip(shares, needs, strict=True))
    if any(share < need for share, need in zip(shares, needs, strict=True)):
        assert room - sum(shares) < len(needs)
