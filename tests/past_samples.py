"""Runs and records for the tests of what dt remembers."""

from __future__ import annotations

from hypothesis import strategies as st

from dt_action.history import RunRecord, Seen
from dt_action.model.build import Build
from dt_action.model.case import Attempt, Outcome, TestCase, TestResult
from dt_action.model.run import Run


def result(id: str, *outcomes: Outcome, duration_s: float = 0.01) -> TestResult:
    """A case with an attempt for each outcome; `passed` where none is given."""
    case = TestCase(id=id, file=id.partition("::")[0])
    attempts = tuple(Attempt(outcome=outcome, duration_s=duration_s) for outcome in outcomes or ("passed",))
    return TestResult(case=case, attempts=attempts)


def run_of(*results: TestResult, commit: str = "", environment: str = "", id: str = "run", at: float = 0.0) -> Run:
    """A run that ended, of these results."""
    return Run(id=id, results=results, build=Build(commit=commit, environment=environment), started_at=at)


_OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed", "timeout", "crashed")
_FLAKY = ("passed", "skipped", "xfailed", "xpassed")
_TICKS = st.integers(min_value=0, max_value=10_000_000).map(lambda ticks: ticks / 10_000)

seen = st.one_of(
    st.builds(Seen, st.sampled_from(_OUTCOMES), _TICKS, st.just(False)),
    st.builds(Seen, st.sampled_from(_FLAKY), _TICKS, st.just(True)),
)
case_ids = st.sampled_from(["a.py::x", "a.py::y", "a.py::y[1-\u2028]", "b/c.py::T::z", "b/c.py", "\ud800.py::q"])
records = st.builds(
    RunRecord,
    id=st.sampled_from([f"r{number}" for number in range(8)]),
    commit=st.sampled_from(["", "c1", "c2", "c3"]),
    branch=st.sampled_from(["", "main", "ümlaut"]),
    environment=st.sampled_from(["", "linux", "mac"]),
    attempt=st.integers(1, 3),
    started_at=st.integers(0, 6).map(float),
    is_default_branch=st.booleans(),
    cases=st.dictionaries(case_ids, seen, max_size=4),
    ran=st.dictionaries(
        st.sampled_from(["a.py", "b/c.py"]), st.sampled_from([("x.py",), ("x.py", "y.py"), ("\udc80.py",)]), max_size=2
    ),
)
memories = st.lists(records, max_size=8)
