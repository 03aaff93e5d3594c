"""What CI services read is what the table of options says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from dt_action.options import OPTIONS
from dt_action.providers import outputs

ROOT = Path(__file__).parent.parent.parent


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("interfaces", ROOT / "tools" / "interfaces.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_written_files_are_up_to_date() -> None:
    assert tool().differing() == [], "run python tools/interfaces.py"


@pytest.mark.parametrize("name", ["action.yml", "composite/action.yml"])
def test_every_option_is_an_input_and_every_output_is_described(name: str) -> None:
    action = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    assert set(action["inputs"]) == {"command", *(row.input for row in OPTIONS if row.has_flag)}
    assert set(action["outputs"]) == {*outputs.NAMES, "matrix", "attempt"}
    assert all(entry["description"] for part in ("inputs", "outputs") for entry in action[part].values())


def test_only_what_the_runner_knows_has_a_default_so_that_a_configuration_file_can_speak() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    given = {name: entry["default"] for name, entry in action["inputs"].items() if entry["default"]}
    assert given == {
        "command": "run",
        "token": "${{ github.token }}",
        "check_run_id": "${{ job.check_run_id }}",
        "leg": "${{ toJSON(matrix) }}",
    }


@pytest.mark.parametrize("name", ["gitlab/distributed-testing.yml", "templates/distributed-testing/template.yml"])
def test_gitlabs_variables_are_options(name: str) -> None:
    known = {variable for row in OPTIONS for variable in row.environment} | {"DT_IMAGE", "DT_TOKEN"}
    used = set(re.findall(r"\bDT_[A-Z_]+\b", (ROOT / name).read_text(encoding="utf-8"))) - {"DT_"}
    assert used - known == set()


def test_the_requirements_for_a_vendored_copy_are_those_of_the_package() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert listed is not None
    wanted = [line.strip().rstrip(",").strip('"') for line in listed[1].splitlines()]
    written = (ROOT / "dt_action" / "requirements.test.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in written if not line.startswith("#")] == wanted


def test_the_images_health_check_asks_the_coordinators_own_port() -> None:
    asked = re.search(r'DEFAULT_PORT = "(\d+)"', (ROOT / "docker" / "healthcheck.py").read_text(encoding="utf-8"))
    listened = re.search(
        r"^PORT = (\d+)", (ROOT / "dt_action" / "cli" / "coordinator.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert asked is not None
    assert listened is not None
    assert asked[1] == listened[1]
