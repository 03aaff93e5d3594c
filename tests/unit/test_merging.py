from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import attempt, result, runs, sample_run

from dt_action.judging.merging import merge, shard_names
from dt_action.model.build import Build
from dt_action.model.case import FAILING
from dt_action.model.hardware import Capability
from dt_action.model.plan import Share
from dt_action.model.run import Run, WorkerInfo
from dt_action.reports.formats import run_json


def shard(name: str, *results: object, environment: str = "", ci_attempt: int = 1, **about: object) -> Run:
    workers = (WorkerInfo(name="local", slots=2, capability=Capability()),)
    build = Build(environment=environment, attempt=ci_attempt)
    share = Share(plan="one") if name else None
    given = {"id": "r", "shard": name, "share": share, "results": results, "workers": workers, "build": build}
    given.update(about)
    return Run(**given)  # type: ignore[arg-type]


some_shards = st.lists(
    st.builds(
        lambda run, name, environment, ci_attempt: replace(
            run, shard=name, build=replace(run.build, environment=environment, attempt=ci_attempt)
        ),
        runs,
        st.sampled_from(["", "1/3", "2/3", "3/3", "10/12"]),
        st.sampled_from(["", "linux", "mac"]),
        st.integers(1, 3),
    ),
    max_size=5,
)


@settings(max_examples=40)
@given(some_shards, st.data())
def test_any_order_gives_the_same_bytes(parts: list[Run], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(parts))
    assert run_json.write(merge(shuffled, ["4/4"])) == run_json.write(merge(parts, ["4/4"]))


@settings(max_examples=40)
@given(some_shards)
def test_a_run_that_is_given_twice_counts_once(parts: list[Run]) -> None:
    assert merge([*parts, *parts]) == merge(parts)


@settings(max_examples=40)
@given(some_shards)
def test_each_test_stands_there_once_for_each_environment(parts: list[Run]) -> None:
    # A file that stands there as a whole could not be collected: it counts no more where it could be later.
    files = {item.case.file for run in parts for item in run.results}
    wanted = {(run.build.environment, item.case.id) for run in parts for item in run.results}
    merged = Counter(item.case.id for item in merge(parts).results if item.case.id not in files)
    assert merged == Counter(case_id for _, case_id in wanted if case_id not in files)


@settings(max_examples=40)
@given(some_shards)
def test_what_failed_at_the_last_ci_attempt_still_fails(parts: list[Run]) -> None:
    files = {item.case.file for run in parts for item in run.results}
    last: dict[tuple[str, str], tuple[int, bool]] = {}
    for run in parts:
        for item in run.results:
            if item.case.id in files:
                continue
            key, now = (run.build.environment, item.case.id), (run.build.attempt, item.outcome in FAILING)
            last[key] = max(last.get(key, now), now)
    failing = [item for item in merge(parts).results if item.final.is_failing and item.case.id not in files]
    assert sum(fails for _, fails in last.values()) == len(failing)


@settings(max_examples=40)
@given(some_shards.filter(bool))
def test_a_merged_run_can_be_written_and_read(parts: list[Run]) -> None:
    merged = merge(parts)
    assert run_json.read(run_json.write(merged)) == merged


def test_two_reports_that_claim_the_same_share_merge_alike_in_both_orders() -> None:
    one = shard("1/2", result("a.py::t", attempt("passed")), reason="one", started_at=5.0)
    other = shard("1/2", result("a.py::u", attempt("passed")), reason="other", started_at=7.0)
    assert merge([one, other]) == merge([other, one])
    assert merge([one, other]).reason == "other"


def test_a_shard_that_never_came_is_named_and_the_run_is_not_green() -> None:
    parts = [shard(name, result(f"a.py::test_{name}", attempt("passed"))) for name in ("1/4", "2/4", "4/4")]
    merged = merge(parts)
    assert merged.missing_shards == ("3/4",)
    assert merged.conclusion() == "incomplete"
    assert merge([], shard_names(2)).missing_shards == ("1/2", "2/2")
    assert merge([], shard_names(2)).conclusion() == "incomplete"


def test_a_shard_is_missed_in_the_environment_in_which_it_is_missing() -> None:
    parts = [shard("1/2", environment="linux"), shard("2/2", environment="linux"), shard("2/2", environment="mac")]
    assert merge(parts).missing_shards == ("mac 1/2",)
    assert merge(parts, ["windows 1/2"]).missing_shards == ("mac 1/2", "windows 1/2")


def test_a_pass_at_the_second_ci_attempt_is_a_flaky_pass_with_the_first_error_kept() -> None:
    first = shard(
        "1/2", result("a.py::test_a", attempt("failed", "boom")), status="cancelled", reason="stopped by a person"
    )
    again = shard("1/2", result("a.py::test_a", attempt("passed")), ci_attempt=2)
    merged = merge([again, first, shard("2/2", result("a.py::test_b", attempt("passed")))])
    flaky = merged.results[0]
    assert [item.outcome for item in flaky.attempts] == ["failed", "passed"]
    assert flaky.is_flaky
    assert (merged.conclusion(), merged.build.attempt) == ("passed", 2)


def test_a_test_that_is_lost_at_the_last_ci_attempt_is_lost() -> None:
    merged = merge(
        [shard("", result("a.py::test_a", attempt("passed"))), shard("", result("a.py::test_a"), ci_attempt=2)]
    )
    assert merged.results[0].outcome == "lost"


def test_a_failure_outranks_a_pass_that_claims_to_be_the_same_execution() -> None:
    one, other = result("a.py::t", attempt("passed")), result("a.py::t", attempt("failed"))
    assert merge([shard("1/2", one), shard("2/2", other)]).totals().failing == 1


def test_workers_with_one_name_on_different_machines_stay_apart() -> None:
    parts = [shard(name, result(f"{name}.py::t", attempt("passed", worker="local"))) for name in ("1/2", "2/2")]
    merged = merge(parts)
    assert [(worker.name, worker.slots) for worker in merged.workers] == [("1/2/local", 2), ("2/2/local", 2)]
    assert [item.final.worker for item in merged.results] == ["1/2/local", "2/2/local"]
    assert merged.slots == 4


def test_shards_are_sorted_by_number() -> None:
    parts = [shard(f"{n}/12", result(f"{n}.py::t", attempt("passed"))) for n in (10, 2, 1)]
    assert [item.case.id for item in merge(parts).results] == ["1.py::t", "2.py::t", "10.py::t"]


def test_a_single_run_stays_as_it_is() -> None:
    assert merge([sample_run()]) == sample_run()
