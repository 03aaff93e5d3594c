from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_samples import HOSTILE, attempt, result, runs, sample_run

from dt_action.model.run import Run
from dt_action.reports.renderers.budget import LADDER, Cut, fit
from dt_action.reports.renderers.markdown import Markdown, code, fence

PARSER = MarkdownIt("gfm-like", {"linkify": False})


def with_failures(count: int, detail: str = "E   boom\n" * 50) -> Run:
    failed = tuple(
        result(f"tests/a.py::test_{n}", attempt("failed", f"boom {n % 3}", detail=detail)) for n in range(count)
    )
    passed = tuple(result(f"tests/b.py::test_{n}", attempt("passed")) for n in range(count))
    return replace(sample_run(), results=failed + passed)


def assert_whole(text: str) -> None:
    """No fence, table or fold is left open."""
    fences = [line for line in text.split("\n") if re.fullmatch(r"`{3,}(sh)?", line)]
    assert len(fences) % 2 == 0
    assert text.count("<details>") == text.count("</details>")
    assert text.endswith("\n")


@given(st.integers(0, 60), st.integers(300, 40_000))
@settings(max_examples=60)
def test_any_budget_is_kept_in_bytes_and_leaves_nothing_open(failures: int, budget: int) -> None:
    content = Markdown(budget_bytes=budget).render(with_failures(failures, "é" * 2_000))
    assert len(content) <= budget
    assert_whole(content.decode())


@given(runs)
@settings(max_examples=50)
def test_any_run_is_rendered_whole(run: Run) -> None:
    assert_whole(Markdown().render(run).decode())


def test_passing_tests_go_first_then_skipped_ones_then_traces() -> None:
    run = with_failures(30)
    whole = Markdown(link="https://ci.example/1").render(run).decode()
    assert "Left out to fit" not in whole
    assert "[The whole report](https://ci.example/1)" in whole
    tight = Markdown(budget_bytes=len(whole.encode()) - 1, link="https://ci.example/1").render(run).decode()
    assert "Left out to fit: 30 passing." in tight
    tiny = Markdown(budget_bytes=2_500).render(run).decode()
    assert "the traces of" in tiny
    assert re.search(r"failed: `boom \d+`\n\n- `tests/a.py::test_\d+`\n", tiny)


@pytest.mark.parametrize("budget", [60_000, 1_000_000])
def test_of_ten_thousand_failures_a_few_of_each_error_are_told_in_full_before_thousands_of_names(budget: int) -> None:
    trace = "Traceback " + "x" * 1_500
    tried = [attempt("failed", f"value {n} of kind {chr(97 + n % 26)}", detail=trace) for n in range(10_000)]
    failures = (result(f"tests/test_{n % 200}.py::test_{n}", item) for n, item in enumerate(tried))
    page = Markdown(budget_bytes=budget).render(Run(id="r", results=tuple(failures))).decode()
    assert len(page.encode()) <= budget
    in_full = re.findall(r"<b>failed</b> <code>[^<]+</code> <code>value \d+ of kind (.)</code>", page)
    assert len(set(in_full)) == min(26, len(in_full))
    assert len(in_full) >= budget // 5_000
    assert page.count("xxx\n```") == len(in_full)
    named = page.count("\n- `tests/test_")
    left_out = 10_000 - named - len(in_full)
    assert left_out == 0 or len(page.encode()) > 0.8 * budget
    assert left_out == 0 or f"{left_out} failures" in page.splitlines()[-1]


def test_where_few_failures_fit_each_error_is_shown_before_a_second_victim_of_one() -> None:
    texts = [attempt("failed", "same")] * 40 + [attempt("failed", "other")]
    run = Run(id="r", results=tuple(result(f"a.py::test_{n}", tried) for n, tried in enumerate(texts)))
    assert "`other`" in Markdown(budget_bytes=900).render(run).decode()


def test_a_budget_below_the_headline_still_holds() -> None:
    assert len(Markdown(budget_bytes=40).render(sample_run())) <= 40


def test_the_planner_takes_the_fullest_that_fits() -> None:
    tried: list[int] = []

    def render(cut: Cut) -> str:
        tried.append(1)
        if cut in LADDER:
            return "x" * (1_000 - LADDER.index(cut))
        return "x" * (min(cut.in_full, 500) + min(cut.failures, 900) // 2)

    assert len(fit(render, 997)) == 997
    assert len(fit(render, 2_000)) == 1_000
    assert len(fit(render, 400)) == 100 + 250  # 100 in full are below 240 bytes, and 500 names fit beside them
    assert len(fit(render, 0)) == 0
    assert len(tried) < 40


@pytest.mark.parametrize("text", [*HOSTILE, "a\\|b", "``", "`", "| --- |", "[x](http://evil)", "<!-- -->", "&lt;"])
def test_hostile_names_stay_text_in_a_table_and_mention_nobody(text: str) -> None:
    run = replace(
        sample_run(),
        results=(result(f"a.py::{text}", attempt("failed", text, detail=text)), result(text, attempt("passed"))),
    )
    page = PARSER.render(Markdown().render(run).decode())
    assert "<script" not in page
    assert "<img" not in page
    assert not re.search(r"<a href=\"(?!https://ci)", page)
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    assert {row.count("<td") + row.count("<th") for row in rows} <= {2, 3}
    outside = re.sub(r"<(code|pre).*?</\1>", "", page, flags=re.DOTALL)
    assert "@everyone" not in outside
    assert "{{" not in outside


def test_a_name_with_a_bar_stays_whole_in_its_cell() -> None:
    run = Run(id="r", results=(result("a.py::t[x|y]", attempt("passed")), result("a.py::t[x\\|y]", attempt("passed"))))
    page = unescape(re.sub(r"</?code>", "", PARSER.render(Markdown().render(run).decode())))
    assert "<td>a.py::t[x|y]</td>" in page
    assert "<td>a.py::t[x\\|y]</td>" in page


def test_code_keeps_what_it_says() -> None:
    for text in ("plain", "a|b", "`tick`", "back\\slash|", "*bold*", "a_b", "<b>"):
        page = PARSER.renderInline(code(text))
        shown = re.sub(r"<[^>]+>", "", page)
        assert shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"') == text


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    assert fence("a\n`````\nb").startswith("``````\n")
    shown = fence("``\x1b[0m`\n@everyone\n").splitlines()  # what colours held apart is a fence once they are gone
    assert shown == ["````", "```", "@everyone", "````"]
