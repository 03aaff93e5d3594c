from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.cli.job_log import GitHubLog
from dt_action.model.report import Annotation
from dt_action.providers import github_commands


def remark(level: str = "failure", **words: object) -> Annotation:
    return Annotation(**{"path": "a.py", "line": 1, "level": level, "title": "t", "message": "m", **words})  # type: ignore[arg-type]


def test_a_property_that_is_none_is_left_out() -> None:
    assert github_commands.command("error", "m", file=None, line=3) == "::error line=3::m"


@given(st.text(), st.text())
def test_a_command_is_one_line_whatever_its_words_are(message: str, title: str) -> None:
    line = github_commands.command("error", message, title=title)
    assert len(line.split("\n")) == 1
    assert "\r" not in line


def test_ten_of_each_type_are_kept_and_the_tenth_says_how_many_are_missing() -> None:
    lines = github_commands.annotation_commands([remark()] * 15 + [remark("warning")] * 10 + [remark("notice")] * 3)
    assert [sum(line.startswith(f"::{name} ") for line in lines) for name in ("error", "warning", "notice")] == [
        10,
        10,
        3,
    ]
    assert lines[-1] == "::error title=Not all are shown here::6 more are in the job's summary"


def test_a_long_message_is_cut_before_the_runner_does() -> None:
    (line,) = github_commands.annotation_commands([remark(message="x" * 10_000)])
    assert len(line) < 4_096


def test_an_annotation_without_a_file_has_no_line_either() -> None:
    (line,) = github_commands.annotation_commands([remark(path="", line=0)])
    assert line == "::error title=t::m"


def read_outputs(text: str) -> dict[str, str]:
    """As the runner does (actions/runner, FileCommandManager.cs)."""
    found, lines = {}, text.split("\n")
    while lines:
        head = lines.pop(0)
        if not head:
            continue
        name, _, delimiter = head.partition("<<")
        end = lines.index(delimiter)
        found[name] = "\n".join(lines[:end])
        del lines[: end + 1]
    return found


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_an_output_comes_back_as_it_was_and_sets_no_other(value: str) -> None:
    path = Path(f"/tmp/outputs-{abs(hash(value))}")
    try:
        github_commands.append_outputs(path, {"first": value, "second": "2"})
        assert read_outputs(path.read_text(encoding="utf-8")) == {"first": value, "second": "2"}
    finally:
        path.unlink(missing_ok=True)


def test_a_name_that_is_no_word_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        github_commands.append_outputs(tmp_path / "o", {"a=b\nc": "1"})


def test_each_line_of_a_secret_is_masked() -> None:
    assert github_commands.mask_commands(["one\ntwo"]) == [
        "::add-mask::one",
        "::add-mask::one%0Atwo",
        "::add-mask::two",
    ]


def obeyed(lines: list[str]) -> list[str]:
    """The commands that the runner takes from a log."""
    token, heard = "", []
    for line in lines:
        if token:
            token = "" if line == f"::{token}::" else token
        elif line.startswith("::stop-commands::"):
            token = line.removeprefix("::stop-commands::")
        elif line.startswith("::"):
            heard.append(line)
    assert token == "", "later steps would not be heard"
    return heard


def test_in_a_jobs_log_only_our_own_commands_are_obeyed() -> None:
    lines: list[str] = []
    with GitHubLog(lines.append, ["s3cret"]) as log:
        lines.append("::error::printed by a test")
        log.command("::notice::ours")
        lines.append("::set-output name=passed::9")
        log.end_progress()
        log.warn("the comment was refused\n::error::x")
        lines.append("::endgroup::")
    assert obeyed(lines) == [
        "::add-mask::s3cret",
        "::group::Distributed Testing: progress",
        "::notice::ours",
        "::endgroup::",
        "::warning title=Distributed Testing::the comment was refused%0A::error::x",
    ]


def test_later_steps_are_heard_again_after_an_error() -> None:
    lines: list[str] = []
    with pytest.raises(RuntimeError), GitHubLog(lines.append, ()):
        raise RuntimeError
    assert obeyed(lines) == ["::group::Distributed Testing: progress", "::endgroup::"]


def test_the_providers_bring_no_http_library_along_until_one_is_needed() -> None:
    """`dt run` starts in every job; requests alone takes longer to import than dt."""
    code = (
        "import sys; from dt_action.providers import make; from dt_action.providers.settings import Settings;"
        "[make(name, {}, Settings(), write=print) for name in ('github', 'gitlab', 'jenkins', 'generic')];"
        "print(sorted({'requests', 'github', 'jinja2', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
