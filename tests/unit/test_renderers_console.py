from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest
from hypothesis import given, settings
from report_samples import HOSTILE, attempt, result, runs, sample_run

from dt_action.model.run import Run
from dt_action.reports.renderers.colors import wants_color
from dt_action.reports.renderers.console import Console


@given(runs)
@settings(max_examples=50)
def test_the_last_line_is_the_totals_alone(run: Run) -> None:
    assert Console().text(run).splitlines()[-1] == run.totals().line()


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_test_reaches_the_terminal_as_more_than_text(text: str) -> None:
    hostile = attempt("failed", text, detail=text, stdout=text, stderr=text, worker=text)
    run = replace(sample_run(), results=(result(f"tests/a.py::t[{text}]", hostile),), reason=text)
    shown = Console().text(run)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert not [line for line in shown.split("\n") if line.lstrip().startswith("::")]
    assert "##[" not in shown


def test_colour_is_only_our_own() -> None:
    run = Run(id="r", results=(result("a.py::t", attempt("failed", "\x1b[35mviolet\x1b[0m")),))
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", Console(color=True).text(run)))
    assert codes <= {"0", "1", "1;31", "2", "31", "36", "33", "1;33"}
    assert "\x1b" not in Console().text(run)


def test_the_command_that_runs_a_failure_again_survives_a_shell() -> None:
    name = 'tests/a b.py::test_x[it\'s $HOME `ls` "q"]'
    shown = Console().text(Run(id="r", results=(result(name, attempt("failed")),)))
    command = next(line.partition("again: ")[2] for line in shown.splitlines() if "again: " in line)
    assert shlex.split(command) == ["python", "-m", "pytest", name]


def test_a_name_of_several_lines_stays_one_command_on_one_line() -> None:
    shown = Console().text(Run(id="r", results=(result("a.py::t[x\n::error::y]", attempt("failed")),)))
    assert "again: python -m pytest 'a.py::t[x'$'\\n''::error::y]'\n" in shown


def test_skips_are_counted_by_reason() -> None:
    skipped = [result(f"a.py::t{n}", attempt("skipped", "no GPU")) for n in range(3)]
    shown = Console().text(Run(id="r", results=(*skipped, result("a.py::u", attempt("skipped", "Windows only")))))
    assert "     3  no GPU\n     1  Windows only\n" in shown


def test_an_error_with_many_victims_is_told_in_full_a_few_times_only() -> None:
    failed = tuple(
        result(f"a.py::t{n}", attempt("failed", f"no server on {n}", detail="LONG TRACE")) for n in range(20)
    )
    shown = Console().text(Run(id="r", results=failed))
    assert shown.count("LONG TRACE") == 3
    assert shown.count("again: python -m pytest") == 20


def test_the_limit_of_the_run_is_told() -> None:
    limit = (
        "3 slots: 70.5 s; the best possible is 60.0 s, the time of the longest test; the rest: 10.5 s after it ended"
    )
    assert f"{limit}\n" in Console().text(sample_run())


@pytest.mark.parametrize(
    ("environment", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colour_is_for_terminals_or_on_demand(environment: dict[str, str], is_terminal: bool, expected: bool) -> None:
    assert wants_color(environment, is_terminal=is_terminal) is expected
