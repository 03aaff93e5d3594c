"""docs/fleets.md: each tick of its table is shown by a test, and each hole has its reason."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE, BOXED, RAY, WORKER, BOXED_WORKER, RAY_WORKER = range(6)
LOCAL, CONTAINERS, RAY_FLEET = "fault/test_faults_local", "fault/test_containers_hostile", "fault/test_ray_fleet"
CONTAINER_WORKERS, RAY_WORKERS, FAULTS = (
    "fault/test_container_workers",
    "fault/test_ray_workers",
    "fault/test_coordinator_faults",
)
COVERAGE, DESK, BRAIN = (
    "integration/test_coverage_over_workers",
    "unit/test_coordinator_desk",
    "unit/test_dispatch_brain",
)
ENGINE = "unit/test_dispatch_properties::test_every_case_gets_exactly_one_final_outcome_whatever_happens"
"""What the engine decides by itself is shown once, for all fleets: with limits, retries, losses and moves by chance."""

BOXED_WORKERS = f"{CONTAINER_WORKERS}::test_a_run_that_asks_for_containers_goes_to_such_workers_only"
MIXED_WORKERS = f"{RAY_WORKERS}::test_one_run_uses_processes_and_actors_and_gpu_cases_go_to_gpu_actors_only"
MEASURING_ACTORS = f"{RAY_FLEET}::test_what_actors_measure_is_brought_back_and_each_file_may_have_a_process"
ALL_FLEETS = "fault/test_hosts_agree::test_a_fleet_tells_what_processes_here_tell"

SHOWN: dict[str, dict[int, str]] = {
    "the outcomes that pytest tells": {
        HERE: "integration/test_same_as_pytest::test_dt_tells_the_outcomes_that_pytest_tells",
        BOXED: f"{CONTAINERS}::test_a_container_runs_tests_as_the_machine_does",
        RAY: f"{RAY_FLEET}::test_outcomes_are_pytests",
        WORKER: f"{COVERAGE}::test_three_workers_cover_what_one_process_covers",
        BOXED_WORKER: BOXED_WORKERS,
        RAY_WORKER: MIXED_WORKERS,
    },
    "a crash costs the test that crashed": {
        HERE: f"{LOCAL}::test_a_test_that_ends_its_process_is_named_and_the_others_still_run",
        BOXED: f"{CONTAINERS}::test_memory_beyond_the_limit_costs_that_test_only",
        RAY: f"{RAY_FLEET}::test_outcomes_are_pytests",
        WORKER: f"{COVERAGE}::test_a_slot_that_is_killed_keeps_what_it_had_saved",
        BOXED_WORKER: BOXED_WORKERS,
        RAY_WORKER: f"{RAY_WORKERS}::test_a_crash_is_the_crash_of_one_case_on_an_actor_too",
    },
    "time limits, retries, confirmed failures": {
        HERE: f"{LOCAL}::test_retries_keep_every_attempt_and_a_test_that_passes_in_the_end_is_flaky",
        BOXED: f"{CONTAINERS}::test_a_test_that_hangs_is_ended_with_its_container",
        RAY: f"{RAY_FLEET}::test_a_hanging_case_times_out_and_the_rest_goes_on",
        **dict.fromkeys((WORKER, BOXED_WORKER, RAY_WORKER), ENGINE),
    },
    "a machine that dies loses no test": {
        RAY: f"{RAY_FLEET}::test_a_node_killed_in_the_middle_loses_no_case",
        WORKER: f"{FAULTS}::test_a_worker_is_killed_in_the_middle_of_a_run",
        BOXED_WORKER: f"{CONTAINER_WORKERS}::test_containers_of_a_killed_worker_are_removed_by_the_next_one",
        RAY_WORKER: f"{RAY_WORKERS}::test_a_node_killed_in_the_middle_loses_no_case",
    },
    "what skipped itself for a device runs where there is one": {
        **dict.fromkeys((BOXED, RAY), "unit/test_dispatch_misplaced"),
        **dict.fromkeys((WORKER, BOXED_WORKER), f"{DESK}::test_a_gated_file_runs_where_the_device_is"),
        RAY_WORKER: MIXED_WORKERS,
    },
    "`exclusive` names": {
        **dict.fromkeys((HERE, BOXED, RAY), ENGINE),
        **dict.fromkeys(
            (WORKER, BOXED_WORKER, RAY_WORKER), f"{DESK}::test_what_a_test_has_for_itself_no_test_of_another_run_has"
        ),
    },
    "isolation by file": {
        HERE: f"{LOCAL}::test_file_isolation_gives_each_file_a_process_of_its_own",
        RAY: MEASURING_ACTORS,
        **dict.fromkeys((BOXED, WORKER, BOXED_WORKER, RAY_WORKER), ENGINE),
    },
    "coverage": {
        HERE: "integration/test_coverage_equals_plain::test_two_slots_cover_what_one_process_covers",
        BOXED: f"{CONTAINERS}::test_what_containers_measure_is_the_coverage_of_the_machine",
        RAY: MEASURING_ACTORS,
        WORKER: f"{COVERAGE}::test_three_workers_cover_what_one_process_covers",
        BOXED_WORKER: BOXED_WORKERS,
        RAY_WORKER: MIXED_WORKERS,
    },
    "files that tests leave (`dt_artifacts`)": {
        HERE: "integration/test_what_tests_leave::test_files_of_all_tests_come_back_to_the_test_that_left_them",
        **dict.fromkeys((BOXED, RAY), ALL_FLEETS),
    },
    "`--requirements`, `--setup`": {
        HERE: "unit/test_environments",
        **dict.fromkeys((RAY, RAY_WORKER), "unit/test_ray_node"),
        WORKER: "unit/test_environments",
    },
    "slots forked from one process that has collected": {
        HERE: "fault/test_forked_slots::test_all_slots_come_from_one_process_and_differ_in_all_that_belongs_to_one",
    },
    "a controller session for plugins' reports": {
        HERE: "integration/test_plugins::test_a_plugin_tells_under_dt_what_it_tells_under_pytest",
    },
    "the next run finds bytecode, asserts and environment": {
        **dict.fromkeys((HERE, BOXED), "integration/test_rewriting"),
        **dict.fromkeys((WORKER, BOXED_WORKER), "unit/test_worker_workspaces"),
    },
    "which functions each test entered (`--record`)": {
        HERE: "integration/test_selection_by_case",
    },
}
"""By row and column the test that shows a tick: `FILE::FUNCTION`, or a file of which every test does."""


@cache
def functions_of(name: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / f"{name}.py").read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def rows() -> dict[str, list[str]]:
    page = (ROOT / "docs/fleets.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells[2:]}


def test_the_table_has_the_rows_that_tests_show() -> None:
    assert [*rows()] == [*SHOWN]


@pytest.mark.parametrize("ability", SHOWN)
def test_a_tick_has_a_test_and_a_hole_has_a_reason(ability: str) -> None:
    page = (ROOT / "docs/fleets.md").read_text(encoding="utf-8")
    reasons = set(re.findall(r"^(\d+)\. ", page, re.MULTILINE))
    for column, cell in enumerate(rows()[ability]):
        shown = SHOWN[ability].get(column)
        assert cell == "yes" if shown else cell in reasons, f"{ability}, column {column + 1}: {cell}"


@pytest.mark.parametrize("shown", sorted({test for row in SHOWN.values() for test in row.values()}))
def test_every_test_that_is_named_is_there(shown: str) -> None:
    file, _, function = shown.partition("::")
    assert not function or function in functions_of(file)
    assert any(name.startswith("test_") for name in functions_of(file))
