"""The failures in less than 8 kB."""

from __future__ import annotations

import pytest
from report_samples import HOSTILE, attempt, result, sample_run

from dt_action.model.change import Change, Tolerated
from dt_action.model.paths import paths_of
from dt_action.model.run import Run
from dt_action.reports.renderers.brief import BUDGET_BYTES, Brief

CHAINED = """    def load():
>       return settings["port"]
E       KeyError: 'port'

app/config.py:7: KeyError

The above exception was the direct cause of the following exception:

    def test_start():
>       start()
E       app.StartError: no configuration

tests/test_app.py:12: StartError"""


def test_it_says_what_failed_the_first_cause_where_how_to_run_it_again_and_whether_it_is_new() -> None:
    failed = result("py/tests/test_app.py::test_start", attempt("failed", "app.StartError: no", detail=CHAINED))
    like_it = result("py/tests/test_app.py::test_stop", attempt("failed", "app.StartError: no", detail=CHAINED))
    run = Run(
        id="r",
        results=(failed, like_it, result("a.py::ok", attempt("passed"))),
        change=Change(against="commit abc", new_failures=(failed.case.id, like_it.case.id)),
        paths=paths_of(top="/r", start="/r/py", root="/r"),
    )
    assert Brief().text(run).splitlines() == [
        "failed: 1 passed, 2 failed, 0 skipped; 2 new failures",
        "",
        "FAILED py/tests/test_app.py::test_start, new",
        "  at tests/test_app.py:12, of py/tests/test_app.py:12",
        "  | KeyError: 'port'",
        "  | ... and then app.StartError: no configuration",
        "  again: python -m pytest 'tests/test_app.py::test_start'",
        "  also py/tests/test_app.py::test_stop",
    ]


def test_new_failures_come_first_and_known_ones_are_only_counted() -> None:
    new, old, known = (result(f"a.py::{name}", attempt("failed", name)) for name in ("new", "old", "known"))
    run = Run(
        id="r",
        results=(old, known, new),
        change=Change(against="main", new_failures=("a.py::new",), still_failing=("a.py::old", "a.py::known")),
        tolerated=(Tolerated(id="a.py::known", reason="in quarantine until 2099"),),
    )
    text = Brief().text(run)
    assert text.index("FAILED a.py::new, new") < text.index("FAILED a.py::old, failed before")
    assert "1 known failure left out: in quarantine until 2099" in text
    assert "FAILED a.py::known" not in text


def test_a_green_run_is_one_line() -> None:
    assert Brief().text(Run(id="r", results=(result("a.py::t", attempt("passed")),))) == (
        "passed: 1 passed, 0 failed, 0 skipped\n"
    )


@pytest.mark.parametrize("errors", [1, 26, 10_000])
def test_ten_thousand_failures_are_less_than_eight_kilobytes_and_nothing_is_left_out_in_silence(errors: int) -> None:
    trace = "E   AssertionError: ü€😀 " + "x" * 3_000
    words = [f"wrong {chr(97 + n % errors % 26)}{'y' * (n % errors // 26)}" for n in range(10_000)]
    failures = (
        result(f"tests/t.py::test_{n}[ü]", attempt("failed", word, detail=trace)) for n, word in enumerate(words)
    )
    text = Brief().text(Run(id="r", results=tuple(failures)))
    assert len(text.encode()) <= BUDGET_BYTES
    assert text.startswith("failed: 0 passed, 10000 failed")
    assert "more" in text
    assert len(text.encode()) > 300


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_stay_on_their_line_and_move_no_cursor(text: str) -> None:
    shown = Brief().text(Run(id="r", results=(result(f"a.py::{text}", attempt("failed", text, detail=f"E  {text}")),)))
    assert "\x1b" not in shown
    assert len(shown.splitlines()) < 60
    assert all(line.startswith(("failed:", "", "FAILED ", "  ")) for line in shown.splitlines())


def test_everything_that_keeps_a_run_from_being_green_is_told() -> None:
    text = Brief().text(sample_run())
    for words in ("coverage is", "never collected", "no worker could take", "flaky"):
        assert words in text
