"""The command line that follows from the table of options."""

from __future__ import annotations

from pathlib import Path

import pytest

from dt_action.cli.arguments import Parser, settings_with_pytest
from dt_action.cli.config import reference
from dt_action.cli.pytest_words import handed_over
from dt_action.errors import ConfigurationError
from dt_action.options import OPTIONS


def given(*argv: str) -> dict[str, object]:
    parser = Parser("run", "run the tests")
    parser.add_table()
    return vars(parser.parse(argv))


def test_what_is_not_given_leaves_no_trace() -> None:
    assert given() == {}


@pytest.mark.parametrize("value", ["-x", "-p no:randomly", "-v", "--timeout=5", "--lf -k 'a b'", ""])
def test_pytest_arguments_may_start_with_a_dash(value: str) -> None:
    assert given("--pytest-args", value, "--verbose") == {"pytest_args": value, "verbose": True}
    assert given(f"--pytest-args={value}") == {"pytest_args": value}


def test_lists_are_words_that_follow_and_may_be_given_again() -> None:
    assert given("--test-files", "a.py", "b.py", "--test-files", "c.py") == {"test_files": ["a.py", "b.py", "c.py"]}


def test_a_switch_can_be_turned_off() -> None:
    assert given("--no-verbose") == {"verbose": False}


def test_every_option_has_its_flag() -> None:
    for row in OPTIONS:
        if row.has_flag and not row.kind.is_switch:
            assert list(given(f"{row.flag}={row.kind.example}")) == [row.name]


def test_every_unknown_word_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        given("--tets-dir=x", "--maxfail", "tests/test_a.py")
    said = str(caught.value)
    assert "did you mean --test-dir?" in said
    assert '--pytest-args "--maxfail"' in said
    assert "expected an option, found 'tests/test_a.py'" in said


def test_a_flag_is_not_abbreviated() -> None:
    with pytest.raises(ConfigurationError, match="no option --work"):
        given("--work=2")


def test_a_flag_without_its_value_is_an_error_of_configuration() -> None:
    with pytest.raises(ConfigurationError, match="expected one argument"):
        given("--timeout")


def test_the_reference_has_every_option() -> None:
    page = reference()
    for row in OPTIONS:
        assert (row.flag if row.has_flag else row.key) in page


def test_paths_on_the_command_line_come_in_the_place_of_the_projects_test_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.dt]\ntest-dir = "tests"\n')
    monkeypatch.chdir(tmp_path)

    def asked(*argv: str) -> tuple[str | None, tuple[str, ...]]:
        settings, _ = settings_with_pytest(Parser("run", "run the tests"), argv, {})
        return settings.test_dir, tuple(settings.paths)

    assert asked() == ("tests", ())
    assert asked("tests/test_a.py") == (None, ("tests/test_a.py",))
    assert asked("tests/test_a.py", "--test-dir", "more") == ("more", ("tests/test_a.py",))


@pytest.mark.parametrize("flag", ["--setup-show", "--trace-config"])
def test_an_option_with_which_tests_run_as_always_is_not_handed_over_and_costs_no_report(flag: str) -> None:
    assert handed_over([flag]) == ""
    assert handed_over([flag, "--setup-plan"]) == "--setup-plan"
