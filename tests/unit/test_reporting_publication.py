from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from report_samples import HOSTILE, attempt, result, sample_run

from dt_action.errors import ConfigurationError
from dt_action.model.change import Change, Tolerated
from dt_action.model.paths import paths_of
from dt_action.model.report import FORMATS, Document, Publication
from dt_action.model.run import Run
from dt_action.reports import reporting
from dt_action.reports.redaction import Redactor


def published(run: Run, formats: Sequence[str] = tuple(FORMATS), **options: object) -> Publication:
    return reporting.publication(run, formats=formats, timestamp="20261124_204200", **options)  # type: ignore[arg-type]


def test_the_documents_asked_for_are_made_and_junit_always() -> None:
    assert [document.name for document in published(sample_run(), ["md", "json"]).documents] == [
        "test_report_20261124_204200.json",
        "test_report_20261124_204200.md",
        "test_report_20261124_204200.xml",
    ]
    assert [document.format for document in published(sample_run(), ["junit", "markdown"]).documents] == ["md", "xml"]


def test_an_unknown_format_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match="'pdf'; expected some of json, md, html"):
        published(sample_run(), ["pdf", "json"])


def test_the_same_run_gives_the_same_bytes() -> None:
    assert published(sample_run()) == published(sample_run())


def test_a_run_without_a_test_has_all_documents() -> None:
    assert len(published(Run(id="empty")).documents) == len(FORMATS)


def test_hostile_names_and_messages_give_wellformed_documents() -> None:
    results = tuple(
        result(f"tests/a{index}.py::test[{text}]", attempt("failed", text, detail=text, stdout=text, stderr=text))
        for index, text in enumerate(HOSTILE)
    )
    run = replace(sample_run(), results=results)
    made = {document.format: document.content.decode() for document in published(run).documents}
    assert len(ET.fromstring(made["xml"]).findall(".//testcase")) == len(HOSTILE) + 2
    assert len(json.loads(made["json"])["tests"]) == len(HOSTILE)
    json.loads(made["ctrf"])
    json.loads(made["codequality"])
    assert "<script>alert" not in made["html"]
    assert made["html"].count("<script") == 3  # the data, the details and the page's own


def test_secrets_are_in_no_document_and_nothing_else_that_is_told() -> None:
    secret = "correct horse\nbattery staple"
    token = "ghp_" + "a1B2" * 9
    text = f"password={secret} token={token}"
    tried = attempt("failed", text, detail=text * 900, stdout=text, stderr=text)
    run = replace(sample_run(), results=(result(f"tests/a.py::test[{token}]", tried),), reason=text, command=text)
    made = published(run, redact=Redactor([secret]))
    everything = b"".join(document.content for document in made.documents) + repr(made).encode()
    for leak in (token, "battery staple"):
        assert leak.encode() not in everything


def test_the_summary_fits_a_check_run_and_the_markdown_a_job_summary() -> None:
    long = "é" * 3_000
    results = tuple(
        result(f"tests/a.py::test_{index}", attempt("failed", f"{long} {index}", detail=long)) for index in range(400)
    )
    made = published(replace(sample_run(), results=results), ["md"])
    assert len(made.summary_markdown.encode()) <= reporting.SUMMARY_BYTES
    assert len(made.documents[0].content) <= reporting.DOCUMENT_BYTES
    assert "Left out to fit" in made.summary_markdown


def documents(*names: str) -> list[Document]:
    return [Document(name=name, format="md", content=name.encode()) for name in names]


def test_documents_are_written_into_a_directory_that_is_made(tmp_path: Path) -> None:
    paths = reporting.write(documents("a.md", "b.md"), tmp_path / "deep" / "er")
    assert [path.read_text() for path in paths] == ["a.md", "b.md"]
    assert sorted(path.name for path in (tmp_path / "deep" / "er").iterdir()) == ["a.md", "b.md"]


def test_a_document_that_cannot_be_written_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "b.md").mkdir()
    with pytest.raises(reporting.ReportsNotWrittenError, match=r"1 of 3 reports could not be written: b\.md: ") as told:
        reporting.write(documents("a.md", "b.md", "c.md"), tmp_path)
    assert [path.name for path in told.value.written] == ["a.md", "c.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "b.md", "c.md"]


def test_a_directory_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(reporting.ReportsNotWrittenError, match="is there room"):
        reporting.write(documents("a.md"), tmp_path / "file")


NO_ROOM = """
import resource, sys
from pathlib import Path
from dt_action.reports import reporting
from dt_action.model.change import Change, Tolerated
from dt_action.model.report import Document

resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
made = [Document(name=f"{size}.md", format="md", content=b"x" * size) for size in (10, 9_000, 20)]
try:
    reporting.write(made, Path(sys.argv[1]))
except reporting.ReportsNotWrittenError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_where_there_is_no_room_the_small_documents_are_whole_and_the_large_one_is_named(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, "-c", NO_ROOM, tmp_path], capture_output=True, text=True, check=True).stdout
    assert "1 of 3 reports could not be written: 9000.md: File too large" in told
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"10.md": 10, "20.md": 20}


def test_each_failing_test_has_its_annotation_one_of_each_error_first_and_new_errors_before_all() -> None:
    same = [result(f"tests/a.py::test_{n}", attempt("failed", f"timeout after {n} s")) for n in range(9)]
    other = result("tests/b.py::test_b", attempt("failed", "KeyError: 'x'", detail="tests/b.py:77: KeyError"))
    change = Change(against="main", new_failures=("tests/b.py::test_b",))
    made = published(Run(id="r", results=(*same, other), change=change), ["json"]).annotations
    assert [(remark.path, remark.line) for remark in made[:3]] == [
        ("tests/b.py", 77),
        ("tests/a.py", 12),
        ("tests/a.py", 12),
    ]
    assert [remark.title for remark in made[1:]] == [f"failed: test_{n}" for n in range(9)]
    assert made[1].message == "timeout after 0 s\n8 more fail like this"
    assert made[2].message == "timeout after 1 s"


@pytest.mark.parametrize("written", ["py/tests/a.py", "tests/a.py", "tests\\a.py"])
def test_a_failure_stands_at_the_line_where_its_traceback_ends_in_the_tests_own_file(written: str) -> None:
    """pytest writes tracebacks as seen from where it was started, and node ids as seen from its root."""
    trace = f"{written}:40: in test\n    check()\n{written}:7: in check\nlib.py:3: AssertionError"
    failed = result("py/tests/a.py::test", attempt("failed", "no", detail=trace))
    paths = paths_of(top="/r", start="/r/py", root="/r")
    (remark,) = published(Run(id="r", results=(failed,), paths=paths), ["json"]).annotations
    assert (remark.path, remark.line) == ("py/tests/a.py", 7)


def test_one_test_that_fails_in_two_legs_has_two_annotations() -> None:
    legs = [replace(result("a.py::t", attempt("failed", "no")), environment=name) for name in ("linux", "windows")]
    made = published(Run(id="r", results=tuple(legs)), ["json"]).annotations
    assert [remark.title for remark in made] == ["failed: t (linux)", "failed: t (windows)"]


def test_two_new_failures_among_thirty_known_ones_are_told_first_and_apart() -> None:
    known = [result(f"tests/old.py::test_{n}", attempt("failed", f"old trouble {chr(97 + n)}")) for n in range(26)]
    new = [result(f"tests/new.py::test_{n}", attempt("failed", f"new trouble {chr(97 + n)}")) for n in range(2)]
    names = tuple(item.case.id for item in new)
    run = Run(
        id="r",
        results=(*known, *new),
        change=Change(against="main", new_failures=names, still_failing=tuple(item.case.id for item in known)),
        tolerated=tuple(Tolerated(id=item.case.id, reason="fails in main, too") for item in known),
    )
    made = published(run)
    assert [remark.path for remark in made.annotations if remark.level == "failure"] == ["tests/new.py"] * 2
    assert re.findall(r"<summary><b>new</b> <b>failed</b> <code>([^<]+)</code>", made.summary_markdown) == [*names]
    assert "Known failures" in made.summary_markdown


def test_what_did_not_run_is_an_annotation_too() -> None:
    titles = [remark.title for remark in published(sample_run(), ["json"]).annotations]
    assert "no worker could take test_two" in titles
    assert "lost: test_after" in titles
    assert "never collected" in titles
    assert "flaky: test_retry" in titles


def test_every_format_can_be_made_and_every_word_for_one_means_one() -> None:
    assert reporting.RENDERERS.keys() == FORMATS.keys()
    words = [word for name, row in FORMATS.items() for word in (name, *row.aliases)]
    assert len(set(words)) == len(words)
    assert reporting.chosen_formats(["gitlab", "markdown"]) == ("md", "xml", "codequality")
