from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from report_samples import HOSTILE, attempt, result, runs, sample_run

from dt_action.errors import ConfigurationError
from dt_action.model.run import Run
from dt_action.reports.renderers import templates
from dt_action.reports.renderers.ansi_html import ansi_to_html
from dt_action.reports.renderers.html import SCRIPTS, Html
from dt_action.reports.renderers.markdown import Markdown

VOID = {"meta", "input"}


class Structure(HTMLParser):
    """Tags that are open, and every tag and attribute seen."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def structure_of(page: bytes) -> Structure:
    structure = Structure()
    structure.feed(page.decode())
    assert structure.stack == []
    return structure


def block(page: bytes, name: str) -> dict[str, object]:
    found = re.search(rf'<script id="{name}"[^>]*>([^<]*)</script>', page.decode())
    assert found
    value: dict[str, object] = json.loads(gzip.decompress(base64.b64decode(found.group(1))))
    return value


@given(runs)
@settings(max_examples=20)
def test_any_run_gives_a_page_whose_elements_are_closed(run: Run) -> None:
    structure_of(Html().render(run))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_adds_no_element_and_no_attribute(text: str) -> None:
    def page(word: str) -> bytes:
        tried = attempt("failed", word, detail=word, stdout=word, stderr=word, worker=word)
        run = replace(sample_run(), results=(result(f"tests/a.py::t[{word}]", tried),), reason=word, command=word)
        return Html().render(run)

    harmless, hostile = structure_of(page("word")), structure_of(page(text))
    assert hostile.attributes == harmless.attributes
    assert hostile.tags["script"] == harmless.tags["script"]
    assert hostile.tags["img"] == 0
    assert not [name for name in hostile.attributes if name.startswith("on") or name == "style"]


def test_the_policy_allows_the_page_s_own_script_and_style_alone() -> None:
    page = Html().render(sample_run()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    for tag in ("script", "style"):
        text = re.search(rf"<{tag}>([\s\S]*?)</{tag}>", page)
        assert text
        digest = base64.b64encode(sha256(text.group(1).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy.group(1)
    assert policy.group(1).startswith("default-src 'none'")
    assert "unsafe" not in policy.group(1)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = Html().render(replace(sample_run(), build=replace(sample_run().build, url=""))).decode()
    assert not re.findall(r"""(?:src|href)=["']|@import|url\(|https?://(?!www\.w3\.org)""", page)


def test_a_link_that_is_no_web_address_is_left_out() -> None:
    page = Html().render(replace(sample_run(), build=replace(sample_run().build, url="javascript:alert(1)"))).decode()
    assert "javascript:" not in page


def test_totals_and_failures_are_there_without_scripts() -> None:
    page = re.sub(r"<script[\s\S]*?</script>", "", Html().render(sample_run()).decode())
    for words in ("3 passed, 4 failed, 3 skipped", "assert 3 == 4", "tests/test_native.py::test_segv", "needs 2 cuda"):
        assert words in page


def test_new_failures_are_marked_and_what_the_run_changed_is_told() -> None:
    page = Html().render(sample_run()).decode()
    for words in (
        "What this change did, against main",
        "Known failures",
        "quarantined until 2027-01-31",
        "--fail-under asks",
    ):
        assert words in page
    assert page.index(">new</span>") < page.index("tests/test_native.py::test_segv")


def test_the_data_block_holds_every_test_in_columns() -> None:
    page = Html().render(sample_run())
    data = block(page, "data")
    count = len(sample_run().results)
    for column in (
        "name",
        "outcome",
        "duration",
        "line",
        "start",
        "file",
        "worker",
        "slot",
        "type",
        "needs",
        "message",
    ):
        assert len(data[column]) == count  # type: ignore[arg-type]
    assert data["duration"][1] == 1500  # type: ignore[index]
    assert data["retried"] == {"5": 250}
    assert data["known"] == {"6": "quarantined until 2027-01-31; @net; #9"}
    assert data["fresh"] == [7]
    details = block(page, "details")
    assert sorted(map(int, details)) == data["detailed"]
    assert [tried["outcome"] for tried in details["5"]] == ["failed", "passed"]  # type: ignore[attr-defined]


def test_thousands_of_long_traces_share_the_room() -> None:
    failed = tuple(result(f"a.py::t{n}", attempt("failed", detail=f"{n} " * 20_000)) for n in range(600))
    assert len(Html().render(Run(id="r", results=failed))) < 5_000_000


def test_colours_of_a_terminal_become_classes_and_nothing_else_survives() -> None:
    text = "\x1b[1m\x1b[31mE <b>\x1b[0m ok \x1b[38;5;196mx\x1b[48;2;1;2;3my\x1b[0m #x1B[32mgreen#x1B[0m "
    text += "\x1b]0;t\x07\x1b[2J"
    assert ansi_to_html(text) == (
        '<span class="a-bold a-red">E &lt;b&gt;</span> ok xy <span class="a-green">green</span> '
    )
    assert ansi_to_html("\x1b[31m" + "\x1b[" + "9" * 500 + "mx") == '<span class="a-red">x</span>'
    assert ansi_to_html("a\nE   boom") == 'a\n<span class="a-red">E   boom</span>'


def test_the_built_in_templates_are_templates_that_jinja_renders_alike(tmp_path: Path) -> None:
    for name in ("report.html.j2", "report.md.j2"):
        (tmp_path / name).write_text((templates.BUILT_IN / name).read_text(encoding="utf-8"), encoding="utf-8")
    assert Html(template_dir=tmp_path).render(sample_run()) == Html().render(sample_run())
    assert Markdown(template_dir=tmp_path).render(sample_run()) == Markdown().render(sample_run())


def test_a_user_s_template_takes_the_place_of_ours_and_knows_the_run(tmp_path: Path) -> None:
    (tmp_path / "report.md.j2").write_text(
        "{{ conclusion }} {{ run.results | length }} {{ totals.passed }}\n{{ failures }}"
    )
    page = Markdown(template_dir=tmp_path).render(sample_run()).decode()
    assert page.startswith("failed 10 2\n### Failures: 3")
    (tmp_path / "report.css").write_text("body { color: pink }")
    assert b"color: pink" in Html(template_dir=tmp_path).render(sample_run())


def test_a_user_s_html_template_escapes_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "report.html.j2").write_text(
        "{% for result in run.results %}{{ result.final.message }}{% endfor %}{{ head }}"
    )
    run = Run(id="r", results=(result("a.py::t", attempt("failed", "<script>alert(1)</script>")),))
    page = Html(template_dir=tmp_path).render(run).decode()
    assert "<script>" not in page
    assert "<h1>failed</h1>" in page


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ run.__class__.__mro__ }}", "unsafe"),
        ("{{ missing }}", "'missing' is undefined"),
        ("line\n{% if %}", "line 2"),
    ],
)
def test_a_template_that_is_wrong_or_reaches_out_is_named(tmp_path: Path, template: str, words: str) -> None:
    (tmp_path / "report.md.j2").write_text(template)
    with pytest.raises(ConfigurationError, match=words) as told:
        Markdown(template_dir=tmp_path).render(sample_run())
    assert "report.md.j2" in str(told.value)


def test_the_scripts_have_no_way_to_make_html_of_text() -> None:
    script = "".join((templates.BUILT_IN / name).read_text(encoding="utf-8") for name in SCRIPTS)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser", script
    )
    assert "</script" not in script
