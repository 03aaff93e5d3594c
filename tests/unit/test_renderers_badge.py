from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from report_samples import HOSTILE, attempt, result, sample_run

from dt_action.model.change import Tolerated
from dt_action.model.report import Badge, Standing
from dt_action.model.run import CONCLUSIONS, Conclusion, Run, SkippedFile
from dt_action.reports.formats.shields import endpoint, svg
from dt_action.reports.renderers.badge import badges, name_of, percentage, together


def by_name(run: Run) -> dict[str, tuple[str, str]]:
    return {badge.name: (badge.message, badge.color) for badge in badges(run)}


def test_there_is_a_badge_for_the_whole_for_each_type_and_for_coverage() -> None:
    assert by_name(sample_run()) == {
        "combined-status": ("3 passed, 3 failed", "red"),
        "integration-status": ("1 passed, 1 failed", "red"),
        "coverage": ("95.5%", "brightgreen"),
    }


def test_a_run_that_is_not_whole_is_not_green() -> None:
    run = Run(id="r", results=(result("a.py::t", test_type="fault"),))
    assert by_name(run) == {"combined-status": ("incomplete", "orange"), "fault-status": ("incomplete", "orange")}


def test_what_is_tolerated_does_not_colour_the_badge() -> None:
    failed = result("a.py::t", attempt("failed"), test_type="fault")
    run = Run(id="r", results=(failed,), tolerated=(Tolerated(id="a.py::t", reason="known"),))
    assert by_name(run) == {"combined-status": ("0 passed", "brightgreen"), "fault-status": ("0 passed", "brightgreen")}


def test_a_green_run_is_green() -> None:
    run = Run(id="r", results=(result("a.py::t", attempt("passed"), test_type="My Type/2"),))
    assert by_name(run) == {
        "combined-status": ("1 passed", "brightgreen"),
        "my-type-2-d7beba97-status": ("1 passed", "brightgreen"),
    }


@pytest.mark.parametrize(
    ("run", "badge"),
    [
        (Run(id="r"), ("no tests", "lightgrey")),
        (Run(id="r", results=(result("a.py::t", attempt("skipped")),)), ("1 skipped", "lightgrey")),
        (Run(id="r", skipped_files=(SkippedFile(path="a.py", reason=""),)), ("1 skipped", "lightgrey")),
        (Run(id="r", missing_shards=("1/2",)), ("incomplete", "orange")),
        (Run(id="r", results=(result("a.py::t", attempt("xfailed")),)), ("0 passed", "brightgreen")),
    ],
)
def test_where_nothing_ran_the_badge_is_grey_and_says_so(run: Run, badge: tuple[str, str]) -> None:
    assert by_name(run) == {"combined-status": badge}


@given(st.lists(st.text(min_size=1, max_size=80), min_size=2, max_size=8, unique=True))
@example(["combined", "Combined", "COMBINED", "a b", "a-b", "a_b", "тест", "テスト", "..", "a/../b", "con", "ß", "SS"])
def test_every_type_has_a_badge_of_its_own_also_where_file_names_have_no_case(types: list[str]) -> None:
    names = [name_of(test_type).casefold() for test_type in types] + ["combined-status", "coverage"]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name) and ".." not in name for name in names)


conclusions = st.sampled_from(CONCLUSIONS)


@given(st.lists(conclusions, min_size=1))
def test_several_jobs_stand_as_badly_as_the_worst_of_them(said: list[Conclusion]) -> None:
    both = together(Standing(conclusion=conclusion, passed=1) for conclusion in said)
    assert both.passed == len(said)
    assert both.conclusion in said
    assert ("failed" in said) == (both.conclusion == "failed")
    assert both.conclusion != "passed" or set(said) <= {"passed", "skipped", "no-tests"}


def test_shields_gets_the_keys_that_it_knows_and_no_other() -> None:
    assert json.loads(endpoint(badges(sample_run())[0])) == {
        "schemaVersion": 1,
        "label": "tests",
        "message": "3 passed, 3 failed",
        "color": "red",
    }
    empty = Badge(name="x", label="", message="", color="red")
    assert json.loads(endpoint(empty))["message"] == "unknown"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_picture_of_hostile_words_is_still_a_picture(text: str) -> None:
    picture = ET.fromstring(svg(Badge(name="x", label=text, message=text, color=text)))
    assert not picture.findall(".//{http://www.w3.org/2000/svg}script")


@pytest.mark.parametrize(
    ("percent", "shown"),
    [(0.0, "0%"), (0.01, "0.1%"), (50.0, "50%"), (66.666, "66.7%"), (99.6, "99.6%"), (99.97, "99.9%"), (100.0, "100%")],
)
def test_a_percentage_is_never_rounded_to_all_or_nothing(percent: float, shown: str) -> None:
    assert percentage(percent) == shown


def test_a_type_whose_tests_no_worker_took_is_not_green() -> None:
    run = sample_run()
    case = replace(run.unplaced[0].case, test_type="gpu")
    unplaced = replace(run.unplaced[0], case=case)
    assert by_name(replace(run, unplaced=(unplaced,)))["gpu-status"] == ("incomplete", "orange")
