"""Runs that the tests of formats, renderers and reporting share: one with a case of everything, and any run at all."""

from __future__ import annotations

from hypothesis import strategies as st

from dt_action.model.build import Build
from dt_action.model.case import OUTCOMES, Attempt, TestCase, TestResult
from dt_action.model.change import Change, FlakyRate, Owned, Selection, Slower, Tolerated
from dt_action.model.coverage import Coverage, Patch, TypeCoverage
from dt_action.model.event import Notice
from dt_action.model.hardware import (
    NOTHING,
    Capability,
    Clause,
    Device,
    DeviceNeed,
    Evidence,
    Finding,
    Requirement,
)
from dt_action.model.run import Run, SkippedFile, Unplaced, WorkerInfo

TRACEBACK = """    def test_total():
>       assert total([1, 2]) == 4
E       assert 3 == 4
E        +  where 3 = total([1, 2])

tests/test_cart.py:31: AssertionError"""

CUDA = Requirement(
    all_of=(Clause(any_of=(DeviceNeed(kind="cuda", count=2, memory_bytes=24 << 30),)),),
    enforced=True,
    evidence=(Evidence(file="tests/test_gpu.py", line=3, rule="mark"),),
)


def result(case_id: str, *attempts: Attempt, **about: object) -> TestResult:
    file = case_id.partition("::")[0]
    case = TestCase(**{"id": case_id, "file": file, "line": 12, **about})  # type: ignore[arg-type]
    return TestResult(case=case, attempts=attempts)


def attempt(outcome: str, message: str = "", **about: object) -> Attempt:
    given = {"duration_s": 0.25, "worker": "box", "slot": "box-1", "started_at": 1_700_000_000.0, **about}
    return Attempt(outcome=outcome, message=message, **given)  # type: ignore[arg-type]


def sample_run() -> Run:
    """Every outcome, and everything else that a run can tell."""
    return Run(
        id="run-7",
        build=Build(
            provider="github",
            repository="org/shop",
            commit="0123456789abcdef",
            branch="main",
            pull_request=12,
            url="https://ci.example/run/7",
        ),
        results=(
            result("tests/test_cart.py::test_empty", attempt("passed"), test_type="integration"),
            result(
                "tests/test_cart.py::test_total",
                attempt("failed", "assert 3 == 4", detail=TRACEBACK, stdout="adding 1\nadding 2\n", duration_s=1.5),
                test_type="integration",
                line=29,
            ),
            result("tests/test_cart.py::TestTax::test_rate[de::19]", attempt("skipped", "no rates offline")),
            result("tests/test_cart.py::test_rounding", attempt("xfailed", "decimal is not used yet")),
            result("tests/test_cart.py::test_negative", attempt("xpassed")),
            result(
                "tests/test_net.py::test_retry",
                attempt("failed", "ConnectionError: refused", detail="E   ConnectionError: refused"),
                attempt("passed", worker="lab", slot="lab-1"),
            ),
            result("tests/test_net.py::test_hangs", attempt("timeout", "no end after 60 s", duration_s=60.0)),
            result("tests/test_native.py::test_segv", attempt("crashed", "killed by signal 11 (SIGSEGV)")),
            result("tests/test_broken.py", attempt("error", "SyntaxError: invalid syntax"), line=0),
            result("tests/test_native.py::test_after"),
        ),
        uncollected=("tests/test_never.py",),
        unplaced=(
            Unplaced(
                case=TestCase(id="tests/test_gpu.py::test_two", file="tests/test_gpu.py", line=4, requirement=CUDA),
                reason="needs 2 cuda with 24 GiB, has no accelerator",
            ),
        ),
        skipped_files=(SkippedFile(path="tests/test_windows.py", reason="Windows only"),),
        workers=(
            WorkerInfo(
                name="box", slots=2, capability=Capability(platform="linux"), environment="linux, Python 3.13.0"
            ),
            WorkerInfo(name="lab", slots=1, capability=Capability(devices=(Device(kind="mps", name="M3"),))),
        ),
        findings=(
            Finding(
                evidence=Evidence(file="tests/test_net.py", line=3, rule="misspelt-gate"),
                message="@pytest.mark.skipf is no mark; did you mean skipif?",
            ),
        ),
        notices=(Notice(level="warning", text="slot box-2 died between two tests"),),
        coverage=Coverage(
            statements=200,
            covered=191,
            patch=Patch(base="main", statements=10, covered=8),
            by_type=(
                TypeCoverage(test_type="integration", covered=180),
                TypeCoverage(test_type="other", covered=120),
            ),
        ),
        change=Change(
            against="main",
            new_failures=("tests/test_native.py::test_segv",),
            still_failing=("tests/test_cart.py::test_total", "tests/test_net.py::test_hangs"),
            fixed=("tests/test_cart.py::test_empty",),
            slower=(Slower(id="tests/test_cart.py::test_negative", before_s=0.01, now_s=0.25),),
        ),
        tolerated=(
            Tolerated(
                id="tests/test_net.py::test_hangs", reason="quarantined until 2027-01-31", owner="@net", issue="#9"
            ),
        ),
        breaches=("coverage is 95.50 %; --fail-under asks for 96 %",),
        flaky_rates=(FlakyRate(id="tests/test_cart.py::test_total", flaky=2, runs=20),),
        owners=(Owned(path="tests/test_cart.py", owners=("@shop", "@tax")),),
        started_at=1_700_000_000.0,
        makespan_s=70.5,
        collect_s=0.5,
        command="dt run --retries 1",
    )


HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "]]></system-out><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "`|` \\| ``` ~~~ <img src=x onerror=alert(1)> @everyone #1",
    "::error::pwned\n##[error]pwned\r\n::set-output name=a::b",
    "\u202egnp.exe \x00\x85\u2028 \udcff \ufffe 😀",
    "{{ 7 * 7 }}{% for x in y %}",
    "javascript:alert(1)",
    "'; rm -rf / #\n",
)

words = st.text(max_size=12)
seconds_ = st.floats(0, 1e6, allow_nan=False)
requirements = st.just(NOTHING) | st.builds(
    Requirement,
    all_of=st.lists(
        st.builds(
            Clause,
            any_of=st.lists(
                st.builds(
                    DeviceNeed,
                    kind=st.sampled_from(["cuda", "mps"]),
                    count=st.integers(1, 9),
                    features=st.frozensets(words, max_size=2),
                ),
                min_size=1,
                max_size=2,
            ).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    browser=words,
    exclusive=st.frozensets(words, max_size=2),
    timeout_s=st.none() | seconds_,
    enforced=st.booleans(),
    evidence=st.lists(st.builds(Evidence, file=words, line=st.integers(0, 99), rule=words), max_size=1).map(tuple),
)
cases = st.builds(
    TestCase,
    id=words,
    file=words,
    line=st.integers(0, 10**6),
    test_type=words,
    markers=st.lists(words, max_size=2).map(tuple),
    requirement=requirements,
    timeout_s=st.none() | seconds_,
)
attempts = st.builds(
    Attempt,
    outcome=st.sampled_from(OUTCOMES),
    duration_s=seconds_,
    worker=words,
    slot=words,
    started_at=seconds_,
    message=words | st.sampled_from(HOSTILE),
    detail=words,
    stdout=words,
    stderr=words,
)
results_ = st.builds(TestResult, case=cases, attempts=st.lists(attempts, max_size=3).map(tuple))
runs = st.builds(
    Run,
    id=words,
    build=st.builds(Build, repository=words, pull_request=st.none() | st.integers(1, 99), attempt=st.integers(1, 9)),
    results=st.lists(results_, max_size=4).map(tuple),
    uncollected=st.lists(words, max_size=2).map(tuple),
    unplaced=st.lists(st.builds(Unplaced, case=cases, reason=words), max_size=2).map(tuple),
    skipped_files=st.lists(st.builds(SkippedFile, path=words, reason=words), max_size=1).map(tuple),
    workers=st.lists(
        st.builds(
            WorkerInfo,
            name=words,
            slots=st.integers(0, 9),
            capability=st.builds(
                Capability,
                devices=st.lists(st.builds(Device, kind=st.sampled_from(["cuda", "cpu"]), name=words), max_size=2).map(
                    tuple
                ),
                browsers=st.frozensets(words, max_size=2),
                memory_bytes=st.integers(0, 1 << 40),
            ),
            environment=words,
        ),
        max_size=2,
    ).map(tuple),
    notices=st.lists(
        st.builds(Notice, level=st.sampled_from(["info", "warning", "error"]), text=words), max_size=1
    ).map(tuple),
    tolerated=st.lists(st.builds(Tolerated, id=words, reason=words, owner=words), max_size=2).map(tuple),
    breaches=st.lists(words, max_size=1).map(tuple),
    owners=st.lists(st.builds(Owned, path=words, owners=st.lists(words, max_size=2).map(tuple)), max_size=1).map(tuple),
    selection=st.none() | st.builds(Selection, asked=words),
    change=st.none()
    | st.builds(
        Change,
        against=words,
        new_failures=st.lists(words, max_size=2).map(tuple),
        slower=st.lists(st.builds(Slower, id=words, before_s=seconds_, now_s=seconds_), max_size=1).map(tuple),
    ),
    missing_shards=st.lists(words, max_size=2).map(tuple),
    coverage=st.none() | st.builds(Coverage, statements=st.integers(0, 99), covered=st.integers(0, 99)),
    status=st.sampled_from(["completed", "cancelled", "timeout", "stopped"]),
    reason=words,
    started_at=seconds_,
    makespan_s=seconds_,
    collect_s=seconds_,
    command=words,
)
