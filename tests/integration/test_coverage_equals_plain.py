"""Coverage over several slots is the coverage of `coverage run -m pytest`, line for line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dt_action.engine.results import collect
from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.fleets.local import LocalFleet
from dt_action.history import KnownPast
from dt_action.hosts.process import Host
from dt_action.hosts.session import Session, new_run
from dt_action.judging.coverage_data import Combined, combine, shard_data_files, shard_data_name
from dt_action.model.case import TestFile
from dt_action.model.hardware import Capability
from dt_action.model.plan import Plan
from dt_action.model.pytest_start import PytestStart
from dt_action.model.run import Run
from dt_action.planning.plan import make_plan

pytest.importorskip("coverage")

CODE = """
import sys


def sign(number):
    if number > 0:
        return 1
    if number < 0:
        return -1
    return 0


def never():
    return "nobody comes here"  # pragma: no cover


class Shape:
    sides = 4

    def area(self):
        for side in range(self.sides):
            if side == 2:
                break
        else:
            return 0
        return side


if __name__ == "__main__":
    print(sign(int(sys.argv[1])))
"""

TESTS = {
    "tests/test_plus.py": "from pkg.code import sign\ndef test_plus(): assert sign(3) == 1\n",
    "tests/test_minus.py": "def test_minus(number):\n    from pkg.code import sign\n    assert sign(number) == -1\n",
    "tests/test_fails.py": "from pkg.code import Shape\ndef test_area(): assert Shape().area() == 1\n",
    "tests/conftest.py": "import pytest\n@pytest.fixture\ndef number():\n    yield -2\n    print('torn down')\n",
    "tests/test_child.py": (
        "import subprocess, sys\n"
        "def test_child():\n"
        "    said = subprocess.run([sys.executable, '-m', 'pkg.code', '0'], capture_output=True, text=True)\n"
        "    assert said.stdout == '0\\n'\n"
    ),
}
SETTINGS = {
    "lines": "[run]\n",
    "branches of a package": "[run]\nbranch = true\nsource = pkg\n",
    "what is left out": "[run]\nbranch = true\nomit = tests/*\n[report]\nexclude_also = def area\n",
    "children": "[run]\nsource = pkg\nparallel = true\npatch = subprocess\n",
}


def project(root: Path, settings: str = "") -> Path:
    for name, text in {**TESTS, "pkg/__init__.py": "", "pkg/code.py": CODE, "pkg/unused.py": "x = 1\n"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / ".coveragerc").write_text(settings)
    (root / "conftest.py").write_text("")
    return root


def measured(root: Path, scratch: Path, *names: str, contexts: bool = False) -> Run:
    """Run test files in two slots; their data is left in `scratch`."""
    files = [TestFile(path=name) for name in names or [name for name in TESTS if "test_" in name]]
    plan: Plan = make_plan(files, {}, KnownPast(), file_bytes={}, is_selection=True)
    start = PytestStart(args=tuple(names), run=new_run(), slots=2, measures=True, has_contexts=contexts)
    host = Host(
        Session(
            root=root,
            python=sys.executable,
            start=start,
            environ=dict(os.environ),
            data_file=scratch / ".coverage",
        )
    )
    return collect(plan, LocalFleet(host=host, capability=Capability()).execute(plan))


def combined(root: Path, scratch: Path, contexts: bool = False) -> Combined:
    return combine(
        scratch.glob(".coverage.*"),
        root=root,
        python=sys.executable,
        output_dir=scratch / "out",
        has_contexts=contexts,
    )


def plain(root: Path, scratch: Path) -> dict:
    """The JSON report of `coverage run -m pytest`."""
    tool, data = [sys.executable, "-m", "coverage"], f"--data-file={scratch / 'plain'}"
    pytest_alone = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:dt",
    ]  # where dt is installed from its sources, coverage measures its plugin
    subprocess.run([*tool, "run", data, *pytest_alone], cwd=root, capture_output=True, check=False)
    if "parallel" in (root / ".coveragerc").read_text():
        subprocess.run([*tool, "combine", "-q", data], cwd=root, check=True)
    subprocess.run([*tool, "json", "-q", data, "-o", str(scratch / "plain.json")], cwd=root, check=True)
    return json.loads((scratch / "plain.json").read_text())


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_two_slots_cover_what_one_process_covers(tmp_path: Path, settings: str) -> None:
    root = project(tmp_path / "project", settings)
    run = measured(root, tmp_path)
    assert run.totals().line() == "3 passed, 1 failed, 0 skipped"
    together = combined(root, tmp_path)
    ours, theirs = json.loads((tmp_path / "out/coverage.json").read_text()), plain(root, tmp_path)
    assert ours["files"] == theirs["files"]
    assert ours["totals"] == theirs["totals"]
    assert together.coverage is not None
    assert together.coverage.covered == theirs["totals"]["covered_lines"]
    assert together.lines["pkg/code.py"][0] == set(theirs["files"]["pkg/code.py"]["executed_lines"])


def test_every_document_is_written(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    measured(root, tmp_path)
    combined(root, tmp_path)
    out = tmp_path / "out"
    assert "<coverage" in (out / "coverage.xml").read_text()
    assert "SF:pkg/code.py" in (out / "coverage.lcov").read_text()
    assert (out / "coverage_html/index.html").is_file()
    assert not list(root.glob(".coverage.*")), "nothing is left in the project"


def test_the_documents_are_those_of_coverages_own_commands(tmp_path: Path) -> None:
    root = project(tmp_path / "project", SETTINGS["branches of a package"] + "relative_files = true\n")
    measured(root, tmp_path)
    combined(root, tmp_path)
    out = tmp_path / "out"
    for word, name in (("xml", "coverage.xml"), ("lcov", "coverage.lcov"), ("json", "coverage.json")):
        theirs = tmp_path / f"theirs.{word}"
        command = [
            sys.executable,
            "-m",
            "coverage",
            word,
            "-q",
            f"--data-file={out / 'coverage.data'}",
            "-o",
            str(theirs),
        ]
        subprocess.run(command, cwd=root, check=True)
        assert _undated((out / name).read_text()) == _undated(theirs.read_text())


def _undated(document: str) -> str:
    return re.sub(r'timestamp="?\d+"|"timestamp": "[^"]*"', "", document)


def test_a_process_that_is_killed_costs_no_more_than_its_own_lines(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    (root / "tests/test_dies.py").write_text("import os\ndef test_dies(): os.kill(os.getpid(), 9)\n")
    run = measured(root, tmp_path, "tests/test_dies.py", "tests/test_plus.py", "tests/test_minus.py")
    assert run.totals().crashed == 1
    assert combined(root, tmp_path).lines["pkg/code.py"][0], "the data of the first test, at least"


def test_shards_anywhere_are_the_whole(tmp_path: Path) -> None:
    """Each shard ran in a directory of its own; one of them is told under another machine's path."""
    root = project(tmp_path / "project", SETTINGS["branches of a package"])
    artifacts = tmp_path / "artifacts"
    for index, names in enumerate([("tests/test_plus.py", "tests/test_fails.py"), ("tests/test_minus.py",)], 1):
        elsewhere = project(tmp_path / f"machine{index}", SETTINGS["branches of a package"])
        scratch = tmp_path / f"scratch{index}"
        scratch.mkdir()
        measured(elsewhere, scratch, *names)
        name = shard_data_name(index, 3)
        combine(
            scratch.glob(".coverage.*"),
            root=elsewhere,
            python=sys.executable,
            output_dir=artifacts / f"shard{index}",
            formats=(),
            name=name,
        )
        assert [path.name for path in (artifacts / f"shard{index}").iterdir()] == [name]
    worker, scratch = project(tmp_path / "machine3", SETTINGS["branches of a package"]), tmp_path / "scratch3"
    scratch.mkdir()
    measured(worker, scratch, "tests/test_child.py")
    together = combine(
        [*shard_data_files(artifacts), *scratch.glob(".coverage.*")],
        root=root,
        python=sys.executable,
        output_dir=tmp_path / "out",
        workspaces=[str(worker)],
    )
    ours, theirs = json.loads((tmp_path / "out/coverage.json").read_text()), plain(root, tmp_path)
    assert ours["files"] == theirs["files"]
    assert together.coverage is not None


def test_contexts_tell_which_test_ran_a_line(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    measured(root, tmp_path, contexts=True)
    found = combined(root, tmp_path, contexts=True)
    report = json.loads((tmp_path / "out/coverage.json").read_text())
    contexts = report["files"]["pkg/code.py"]["contexts"]
    assert contexts["7"] == ["tests/test_plus.py::test_plus"]
    assert contexts["9"] == ["tests/test_minus.py::test_minus"]
    assert found.coverage is not None
    assert found.coverage.ran["tests/test_plus.py"] == ("pkg/code.py", "tests/test_plus.py")
    assert "tests/conftest.py" in found.coverage.ran["tests/test_minus.py"], "a fixture of it"


def test_settings_that_coverage_refuses_are_an_error_for_the_user(tmp_path: Path) -> None:
    root = project(tmp_path / "project", "[run]\ncore = no such core\n")
    with pytest.raises(ConfigurationError, match="no such core"):
        measured(root, tmp_path)


def test_an_environment_without_coverage_is_an_error_that_says_what_to_install(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    (root / "coverage.py").write_text("raise ModuleNotFoundError(\"No module named 'coverage'\", name='coverage')\n")
    with pytest.raises(ConfigurationError, match="pip install coverage"):
        measured(root, tmp_path)


def test_no_data_and_foreign_data_are_errors_for_the_user(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no coverage data"):
        combine([], root=tmp_path, python=sys.executable, output_dir=tmp_path)
    (tmp_path / ".coverage.x").write_bytes(b"not a database")
    with pytest.raises(ConfigurationError, match="could not combine"):
        combined(tmp_path, tmp_path)
