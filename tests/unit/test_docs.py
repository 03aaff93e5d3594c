"""The pages that are written from code, and the promises of the README."""

from __future__ import annotations

from pathlib import Path

from dt_action.cli import COMMANDS
from dt_action.cli.config import reference
from dt_action.errors import ExitCode

ROOT = Path(__file__).parents[2]


def test_the_page_of_options_is_the_tables() -> None:
    assert (ROOT / "docs/options.md").read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_every_exit_code_is_documented() -> None:
    page = (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8")
    for code in ExitCode:
        assert f"| {code.value} | {code.name.lower().replace('_', ' ')}" in page


def test_every_dependency_has_its_reason() -> None:
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    from dt_action.options.config_file import parse_toml

    project = parse_toml((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(project, dict)
    for requirement in project["dependencies"]:
        name = requirement.split(">")[0]
        assert f"\n| {name} | " in page


def test_the_readme_fits_on_a_screen_and_names_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 45
    named = {line.split()[1] for line in readme.splitlines() if line.startswith("    dt ")}
    assert named <= set(COMMANDS)


def test_every_command_that_is_listed_has_a_module() -> None:
    for command in COMMANDS:
        assert (ROOT / "dt_action/cli" / f"{command}.py").is_file(), command


def test_the_jenkinsfiles_that_are_printed_are_the_examples_that_are_run() -> None:
    page = (ROOT / "docs/jenkins.md").read_text(encoding="utf-8")
    for name in ("Jenkinsfile.declarative", "Jenkinsfile.scripted"):
        example = (ROOT / "jenkins/examples" / name).read_text(encoding="utf-8")
        assert f"```groovy\n{example}```" in page, name
