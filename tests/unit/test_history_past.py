"""What records say: durations, what failed last, flakiness, baselines."""

from __future__ import annotations

from dt_action.history import KnownPast, RunRecord, Seen, merged


def record(
    id: str, at: float, commit: str = "", environment: str = "", default: bool = False, **cases: str
) -> RunRecord:
    """`a="passed 2"` is case `t.py::a` that passed after 2 s; `flaky` stands for passed on a retry."""
    seen = {}
    for name, told in cases.items():
        outcome, _, seconds = told.partition(" ")
        is_flaky = outcome == "flaky"
        seen[f"t.py::{name}"] = Seen("passed" if is_flaky else outcome, float(seconds or 0.1), is_flaky)  # type: ignore[arg-type]
    return RunRecord(
        id=id, started_at=at, commit=commit, environment=environment, is_default_branch=default, cases=seen
    )


def past(*records: RunRecord, environment: str = "") -> KnownPast:
    return KnownPast(merged(records), environment)


def test_an_expected_duration_is_the_median_of_the_newest_runs() -> None:
    runs = [record(str(number), number, a=f"passed {number}") for number in range(30)]
    assert past(*runs).duration_s("t.py::a") == 24.5


def test_durations_come_from_this_leg_of_the_matrix_and_else_from_any() -> None:
    runs = [record("1", 1, environment="mac", a="passed 9"), record("2", 2, environment="linux", a="passed 1")]
    assert past(*runs, environment="mac").duration_s("t.py::a") == 9.0
    assert past(*runs, environment="windows").duration_s("t.py::a") == 5.0


def test_what_hung_or_crashed_says_nothing_of_how_long_it_takes() -> None:
    assert past(record("1", 1, a="timeout 600"), record("2", 2, a="crashed 1")).duration_s("t.py::a") is None


def test_failed_last_is_the_newest_word_on_each_case() -> None:
    known = past(
        record("1", 1, a="failed", b="failed", c="passed"), record("2", 2, a="passed"), record("3", 3, c="crashed")
    )
    assert known.failed_last() == {"t.py::b", "t.py::c"}


def test_a_baseline_takes_each_case_from_its_nearest_commit() -> None:
    known = past(record("2", 2, "old", a="failed", b="failed"), record("1", 1, "new", a="passed 3"))
    baseline = known.baseline(["new", "old", "older"])
    assert baseline is not None
    assert baseline.commit == "new"
    assert {case: item.outcome for case, item in baseline.before.items()} == {"t.py::a": "passed", "t.py::b": "failed"}
    assert baseline.expected == {"t.py::a"}


def test_of_several_runs_of_a_commit_the_newest_counts() -> None:
    known = past(record("1", 1, "c", a="failed"), record("2", 2, "c", a="passed 1"), record("3", 3, "c", b="passed"))
    baseline = known.baseline(["c"])
    assert baseline is not None
    assert baseline.before["t.py::a"].outcome == "passed"
    assert baseline.expected == {"t.py::a", "t.py::b"}, "shards and re-runs are one commit"


def test_a_commit_that_never_ran_has_no_baseline() -> None:
    assert past(record("1", 1, "c", a="failed")).baseline(["x"]) is None


def test_other_legs_of_the_matrix_are_no_baseline() -> None:
    assert past(record("1", 1, "c", environment="mac", a="failed"), environment="linux").baseline(["c"]) is None


def test_the_default_branch_stands_in_for_a_base_that_is_not_known() -> None:
    known = past(
        record("1", 1, "m1", default=True, a="passed"),
        record("2", 2, "m2", default=True, a="failed"),
        record("3", 3, "pr", a="passed"),
    )
    baseline = known.baseline_of_default_branch("m2")
    assert baseline is not None
    assert baseline.commit == "m1"
    assert past(record("3", 3, "pr", a="passed")).baseline_of_default_branch("x") is None


def test_flaky_is_what_passed_on_a_retry_or_did_both_on_one_commit() -> None:
    known = past(
        record("1", 1, "c1", a="flaky", b="failed", c="passed"),
        record("2", 2, "c2", a="passed", b="failed", c="failed"),
        record("3", 3, "c2", b="passed", c="failed"),
        record("4", 4, "", b="failed"),
        record("5", 5, "", b="passed"),
    )
    rates = {rate.id: (rate.flaky, rate.runs) for rate in known.flaky_rates(["t.py::a", "t.py::b", "t.py::c"])}
    assert rates == {"t.py::a": (1, 2), "t.py::b": (1, 4)}
