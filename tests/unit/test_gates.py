"""What makes a run red."""

from __future__ import annotations

from dataclasses import replace

import pytest
from past_samples import result, run_of

from dt_action.cli.run import exit_code
from dt_action.judging.gates import demand_coverage, tolerate
from dt_action.model.change import Change, Tolerated
from dt_action.model.coverage import Coverage, Patch
from dt_action.model.run import Run

OLD = Tolerated(id="t.py::old", reason="in quarantine")
FAILING = run_of(result("t.py::ok"), result("t.py::old", "failed"), result("t.py::new", "crashed"))


def against(commit: str, run: Run = FAILING) -> Run:
    change = Change(against="b", commit=commit, still_failing=("t.py::old",), new_failures=("t.py::new",))
    return replace(run, change=change)


def test_by_default_every_failure_counts_but_one_in_quarantine() -> None:
    run = tolerate(against("c"), (OLD,), fail_on="failures")
    assert run.tolerated == (OLD,)
    assert [item.case.id for item in run.failures()] == ["t.py::new"]
    assert run.conclusion() == "failed"


def test_a_quarantine_alone_makes_a_run_green_and_its_failures_stay_in_the_totals() -> None:
    run = tolerate(run_of(result("t.py::ok"), result("t.py::old", "failed")), (OLD,), fail_on="failures")
    assert run.conclusion() == "passed"
    assert run.totals().line() == "1 passed, 1 failed, 0 skipped"
    assert exit_code(run) == 0


def test_quarantine_of_a_case_that_passed_is_not_a_toleration() -> None:
    assert tolerate(run_of(result("t.py::old")), (OLD,), fail_on="failures").tolerated == ()


def test_regressions_let_failures_of_the_base_through_and_no_other() -> None:
    run = tolerate(against("c"), (), fail_on="regressions")
    assert [item.case.id for item in run.failures()] == ["t.py::new"]
    assert exit_code(run, fail_on="regressions") == 1
    fixed = against("c", run_of(result("t.py::ok"), result("t.py::old", "failed"), result("t.py::new")))
    fixed = replace(fixed, change=replace(fixed.change or Change(), new_failures=()))
    assert exit_code(tolerate(fixed, (), fail_on="regressions"), fail_on="regressions") == 0


@pytest.mark.parametrize("run", [FAILING, against("")], ids=["nothing", "any run before"])
def test_regressions_without_a_commit_to_compare_with_let_nothing_through(run: Run) -> None:
    assert len(tolerate(run, (), fail_on="regressions").failures()) == 2


def test_never_forgives_failures_but_neither_coverage_nor_a_hole() -> None:
    assert exit_code(FAILING, fail_on="never") == 0
    assert exit_code(replace(FAILING, breaches=("too little",)), fail_on="never") == 1
    assert exit_code(run_of(result("t.py::a", "lost")), fail_on="never") == 6


def test_a_tolerated_failure_hides_no_lost_test() -> None:
    run = tolerate(run_of(result("t.py::old", "failed"), result("t.py::x", "lost")), (OLD,), fail_on="failures")
    assert run.conclusion() == "incomplete"


COVERED = Coverage(statements=100_000, covered=79_996, patch=Patch(base="c", statements=4, covered=3))


def test_coverage_under_its_limit_is_a_breach_that_does_not_round_up_to_it() -> None:
    run = demand_coverage(replace(run_of(), coverage=COVERED), total=80.0, patch=75.0)
    assert run.breaches == ("coverage is 79.9960 %; --fail-under asks for 80 %",)
    assert run.conclusion() == "failed"
    assert exit_code(run) == 1


def test_coverage_at_its_limit_is_none() -> None:
    assert demand_coverage(replace(run_of(), coverage=COVERED), total=79.996, patch=75.0).breaches == ()
    assert demand_coverage(run_of(), total=None, patch=None).breaches == ()


def test_the_limit_of_a_change_is_a_gate_of_its_own() -> None:
    run = demand_coverage(replace(run_of(), coverage=COVERED), total=None, patch=76.0)
    assert run.breaches == ("coverage of the change is 75.00 %; --patch-fail-under asks for 76 %",)


def test_what_was_not_measured_meets_no_limit() -> None:
    assert demand_coverage(run_of(), total=10.0, patch=None).breaches
    without = replace(COVERED, patch=None)
    assert "no base" in demand_coverage(replace(run_of(), coverage=without), total=None, patch=1.0).breaches[0]
