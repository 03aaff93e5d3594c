"""What a run changed, as people are told."""

from __future__ import annotations

from dataclasses import replace

from past_samples import result, run_of

from dt_action.model.change import Change, Chosen, FlakyRate, Owned, Selection, Slower, Tolerated
from dt_action.model.coverage import Coverage, MissedLines, Patch
from dt_action.model.run import Run
from dt_action.reports import reporting
from dt_action.reports.formats import run_json
from dt_action.reports.formats.text import one_line
from dt_action.reports.renderers.change import change_line, change_sections
from dt_action.reports.renderers.console import Console
from dt_action.reports.renderers.digest import digest, headline
from dt_action.reports.renderers.markdown import Markdown

HOSTILE = "t.py::</details>\n::error::x|`@all`"


def run() -> Run:
    known = [f"t.py::known{number}" for number in range(30)]
    return replace(
        run_of(
            *(result(id, "failed") for id in known),
            result("t.py::new", "failed"),
            result(HOSTILE, "failed"),
            result("t.py::ok"),
        ),
        change=Change(
            against="commit abc",
            commit="abc",
            new_failures=("t.py::new", HOSTILE),
            still_failing=tuple(known),
            fixed=("t.py::fixed",),
            slower=(Slower(id="t.py::ok", before_s=1.0, now_s=3.0),),
        ),
        tolerated=tuple(Tolerated(id=id, reason="fails in commit abc, too") for id in known),
        flaky_rates=(FlakyRate(id="t.py::new", flaky=3, runs=40),),
        owners=(Owned(path="t.py", owners=("@team", "@me")),),
        coverage=Coverage(
            statements=10,
            covered=8,
            patch=Patch(base="abc", statements=4, covered=1, missed=(MissedLines(path="a.py", lines=(3, 4, 9)),)),
        ),
        breaches=("coverage is 80.00 %; --fail-under asks for 90 %",),
    )


def test_new_failures_are_told_first_and_exactly() -> None:
    first, known, *rest = change_sections(run())
    assert (first.title, first.count, first.weight) == ("New failures", 2, "bad")
    assert [line.subject for line in first.lines] == ["t.py::new", HOSTILE]
    assert first.lines[0].remark == "flaky in 3 of 40 runs before; @team @me"
    assert (known.title, known.count) == ("Known failures", 30)
    assert [section.title for section in rest] == [
        "Fixed",
        "Slower",
        "Changed lines that no test ran (25.00 % ran)",
    ]
    assert rest[2].lines[0].remark == "lines 3-4, 9"


def test_the_headline_tells_new_ones_apart_from_known_ones() -> None:
    assert change_line(run()) == "2 new failures, 1 fixed, 30 known"
    assert headline(digest(run())).startswith(
        "failed: 1 passed, 32 failed, 0 skipped (2 new failures, 1 fixed, 30 known;"
    )


def test_failures_in_full_are_the_new_ones_alone() -> None:
    assert [item.case.id for item in digest(run()).failures] == ["t.py::new", HOSTILE]
    text = Console().text(run())
    assert "Failures: 2" in text
    assert text.endswith("1 passed, 32 failed, 0 skipped\n")
    assert "failed: coverage is 80.00 %" in text
    assert "80.00 % of the code ran, 25.00 % of the change" in text


def test_hostile_names_and_reasons_stay_text() -> None:
    told = Tolerated(id=HOSTILE, reason=HOSTILE, owner=HOSTILE, issue=HOSTILE)
    change = Change(against=HOSTILE, new_failures=(HOSTILE,), fixed=(HOSTILE,), removed_tests=(HOSTILE,))
    selection = Selection(asked=HOSTILE, chosen=(Chosen(path=HOSTILE, reason=HOSTILE),))
    quiet = replace(run_of(result("t.py::a")), change=change, tolerated=(told,), selection=selection)
    page = Markdown().render(quiet).decode()
    assert page.count("</details>") == page.count("<details>")
    for text in (page, Console().text(quiet)):
        assert "\n::error::" not in text


def test_annotations_are_for_new_failures_alone() -> None:
    remarks = reporting.remarks_of(run(), digest(run()))
    change = run().change
    assert change is not None
    new = {f"failed: {one_line(case.partition('::')[2])}" for case in change.new_failures}
    assert {remark.title for remark in remarks if remark.level == "failure"} == new


def test_a_selection_is_told_with_its_reasons() -> None:
    chosen = Selection(
        asked="--changed-since main", chosen=(Chosen(path="t.py", reason="it changed"),), left_out=("u.py",)
    )
    (section,) = change_sections(replace(run_of(result("t.py::a")), selection=chosen))
    assert section.title == "Chosen by --changed-since main, 1 test file left out"
    assert section.lines[0].remark == "it changed"
    (empty,) = change_sections(replace(run_of(), selection=replace(chosen, chosen=())))
    assert empty.lines == ()


def test_a_run_that_knows_of_no_other_has_nothing_to_tell() -> None:
    assert change_sections(run_of(result("t.py::a", "failed"))) == ()
    assert change_line(run_of(result("t.py::a", "failed"))) == ""


def test_all_of_it_is_in_the_json_report() -> None:
    whole = replace(run(), selection=Selection(asked="x", left_out=("u.py",)), is_selection=True)
    assert run_json.read(run_json.write(whole)) == whole


def test_a_summary_that_must_be_short_keeps_the_counts() -> None:
    page = Markdown(budget_bytes=1_500).render(run()).decode()
    assert len(page.encode()) <= 1_500
    assert "New failures: 2" in page
