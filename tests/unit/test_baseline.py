"""A run against its baseline."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from past_samples import result, run_of

from dt_action.judging.baseline import compare, joined, with_moved_files
from dt_action.judging.gates import tolerate
from dt_action.model.case import FAILING
from dt_action.model.change import Baseline, Before, Change, Tolerated
from dt_action.model.run import SkippedFile

OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed", "timeout", "crashed")
ids = st.sampled_from([f"t.py::c{number}" for number in range(6)])
outcomes = st.sampled_from(OUTCOMES)


def baseline(**before: str) -> Baseline:
    """`a="failed"` is case `t.py::a`."""
    known = {f"t.py::{name}": Before(outcome=outcome) for name, outcome in before.items()}  # type: ignore[arg-type]
    return Baseline(against="commit c", commit="c", before=known, expected=frozenset(known))


@given(st.dictionaries(ids, outcomes), st.dictionaries(ids, outcomes))
def test_every_case_that_ran_is_told_in_the_right_place_and_no_other(before: dict, now: dict) -> None:
    known = {case: Before(outcome=outcome) for case, outcome in before.items()}
    run = run_of(*(result(case, outcome) for case, outcome in now.items()))
    change = compare(run, Baseline(against="b", before=known, expected=frozenset(known)))
    failing = {case for case, outcome in now.items() if outcome in FAILING}
    failed = {case for case, outcome in before.items() if outcome in FAILING}
    assert set(change.new_failures) == failing - failed
    assert set(change.still_failing) == failing & failed
    assert set(change.fixed) == {case for case in failed if now.get(case) == "passed"}
    assert set(change.new_tests) == now.keys() - before.keys()
    assert set(change.removed_tests) == before.keys() - now.keys()
    assert set(change.newly_skipped) == {
        case for case in before.keys() & now.keys() if now[case] == "skipped" and before[case] != "skipped"
    }


@given(st.dictionaries(ids, outcomes))
def test_a_run_changed_nothing_against_itself(now: dict) -> None:
    known = {case: Before(outcome=outcome) for case, outcome in now.items()}
    change = compare(run_of(*(result(*item) for item in now.items())), Baseline(against="b", before=known))
    failing = tuple(case for case, outcome in now.items() if outcome in FAILING)
    assert change == Change(against="b", still_failing=failing)


def test_without_a_baseline_nothing_is_told() -> None:
    assert compare(run_of(result("t.py::a", "failed")), None) == Change()


def test_a_choice_of_tests_removes_none() -> None:
    run = run_of(result("t.py::a"))
    assert compare(run, baseline(a="passed", b="passed")).removed_tests == ("t.py::b",)
    assert compare(replace(run, is_selection=True), baseline(a="passed", b="passed")).removed_tests == ()
    assert compare(replace(run, status="cancelled"), baseline(a="passed", b="passed")).removed_tests == ()


def test_a_case_that_never_reported_is_neither_failed_nor_removed() -> None:
    change = compare(run_of(result("t.py::a", "lost")), baseline(a="failed"))
    assert change == Change(against="commit c", commit="c")


def test_a_file_that_breaks_is_one_failure_and_its_cases_are_not_removed() -> None:
    change = compare(run_of(result("t.py", "error")), baseline(a="passed", b="passed"))
    assert change.new_failures == ("t.py",)
    assert change.removed_tests == ()


def test_a_file_that_can_be_collected_again_is_fixed() -> None:
    before = Baseline(against="b", before={"t.py": Before(outcome="error")}, expected=frozenset({"t.py"}))
    change = compare(run_of(result("t.py::a")), before)
    assert change.fixed == ("t.py",)
    assert change.removed_tests == ()


def test_the_cases_of_a_file_that_skips_itself_are_not_removed() -> None:
    run = replace(run_of(result("u.py::x")), skipped_files=(SkippedFile(path="t.py", reason="no GPU"),))
    assert compare(run, baseline(a="passed")).removed_tests == ()


def timed(now_s: float, *before_s: float, others: float = 1.0) -> tuple[str, ...]:
    """What is slower in a run of one case beside twenty steady ones, on a machine `others` times as slow."""
    steady = [f"t.py::steady{number}" for number in range(20)]
    before = {case: Before(outcome="passed", durations_s=(0.5,) * 5) for case in steady}
    before["t.py::a"] = Before(outcome="passed", durations_s=before_s)
    run = run_of(result("t.py::a", duration_s=now_s), *(result(case, duration_s=0.5 * others) for case in steady))
    return tuple(item.id for item in compare(run, Baseline(against="b", before=before)).slower)


def test_slower_is_more_than_the_noise_of_the_case_itself() -> None:
    assert timed(3.0, 1.0, 1.0, 1.1) == ("t.py::a",)
    assert timed(3.0, 0.5, 1.0, 2.5, 0.7, 2.0) == ()


def test_a_few_milliseconds_more_are_not_slower() -> None:
    assert timed(0.05, 0.001, 0.001, 0.001) == ()


def test_too_few_samples_say_nothing() -> None:
    assert timed(9.0, 1.0, 1.0) == ()


def test_a_slower_machine_makes_no_case_slower() -> None:
    assert timed(3.0, 1.0, 1.0, 1.0, others=3.0) == ()
    assert timed(9.0, 1.0, 1.0, 1.0, others=3.0) == ("t.py::a",)


def in_legs(**outcomes: str) -> object:
    """A merged run of `t.py::a` in several environments."""
    return run_of(*(replace(result("t.py::a", outcome), environment=name) for name, outcome in outcomes.items()))


def test_a_failure_is_known_in_the_leg_that_had_it_and_new_in_every_other() -> None:
    run = in_legs(linux="failed", windows="failed", mac="failed")
    known = joined({"linux": baseline(a="passed"), "windows": baseline(a="failed")})
    change = compare(run, known)  # type: ignore[arg-type]
    assert change.new_failures == ("t.py::a (linux)", "t.py::a (mac)")
    assert change.still_failing == ("t.py::a (windows)",)
    judged = tolerate(replace(run, change=change), (), fail_on="regressions")  # type: ignore[type-var]
    assert [item.id for item in judged.failures()] == ["t.py::a (linux)", "t.py::a (mac)"]


def test_a_quarantine_is_of_a_case_in_every_leg() -> None:
    run = in_legs(linux="failed", windows="failed")
    judged = tolerate(run, (Tolerated(id="t.py::a", reason="known"),), fail_on="failures")  # type: ignore[arg-type]
    assert judged.failures() == ()
    assert [item.id for item in judged.tolerated] == ["t.py::a (linux)", "t.py::a (windows)"]


def test_one_leg_fixes_and_loses_tests_of_its_own() -> None:
    known = joined({"linux": baseline(a="failed", gone="passed"), "windows": baseline(a="passed")})
    change = compare(in_legs(linux="passed", windows="passed"), known)  # type: ignore[arg-type]
    assert (change.fixed, change.removed_tests) == (("t.py::a (linux)",), ("t.py::gone (linux)",))


def test_a_test_in_a_file_that_was_moved_is_the_same_test() -> None:
    known = with_moved_files(baseline(a="failed", b="passed"), {"t.py": "sub/new.py"})
    change = compare(run_of(result("sub/new.py::a", "failed"), result("sub/new.py::b", "passed")), known)
    assert change == Change(against="commit c", commit="c", still_failing=("sub/new.py::a",))
