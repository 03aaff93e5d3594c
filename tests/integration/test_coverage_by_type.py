"""Coverage told apart by test type: each type's share is what its tests alone would cover."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from coverage import CoverageData

pytest.importorskip("coverage")

from dt_action.engine.results import collect
from dt_action.fleets.local import LocalFleet
from dt_action.history import KnownPast
from dt_action.hosts.process import Host
from dt_action.hosts.session import Session, new_run
from dt_action.judging.coverage_data import Combined, combine, shard_data_name
from dt_action.model.case import TestFile
from dt_action.model.hardware import Capability
from dt_action.model.pytest_start import PytestStart
from dt_action.planning.plan import make_plan

CODE = """
def kind(number):
    if number > 2:
        return "many"
    if number > 1:
        return "two"
    return "one"
"""
FILES = {
    "pkg/__init__.py": "",
    "pkg/code.py": CODE,
    "tests/fault/test_many.py": "from pkg.code import kind\ndef test_many(): assert kind(5) == 'many'\n",
    "tests/fault/test_more.py": "from pkg.code import kind\ndef test_more(): assert kind(6) == 'many'\n",
    "tests/stress/test_two.py": "from pkg.code import kind\ndef test_two(): assert kind(2) == 'two'\n",
    "tests/test_plain.py": "from pkg.code import kind\ndef test_plain(): assert kind(1) == 'one'\n",
    ".coveragerc": "[run]\nbranch = true\nsource = pkg\n",
    "conftest.py": "",
}
TYPES = {
    "fault": ["tests/fault/test_many.py", "tests/fault/test_more.py"],
    "other": ["tests/test_plain.py"],
    "stress": ["tests/stress/test_two.py"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(text)
    return tmp_path / "project"


def measured(root: Path, scratch: Path, types: dict[str, list[str]], *, slots: int = 1, contexts: bool = False) -> None:
    """Run the files of these types; their data is left in `scratch`."""
    scratch.mkdir()
    typed = [("" if name == "other" else name, path) for name, paths in types.items() for path in paths]
    files = [TestFile(path=path, test_type=name) for name, path in typed]
    plan = make_plan(files, {}, KnownPast(), file_bytes={}, is_selection=True)
    args = tuple(file.path for file in files)
    start = PytestStart(args=args, run=new_run(), slots=slots, measures=True, has_contexts=contexts)
    session = Session(
        root=root,
        python=sys.executable,
        start=start,
        environ=dict(os.environ),
        data_file=scratch / ".coverage",
    )
    run = collect(plan, LocalFleet(host=Host(session), capability=Capability()).execute(plan))
    assert run.totals().passed == len(files)


def combined(root: Path, scratch: Path, types: dict[str, list[str]], **more: object) -> Combined:
    found = [*scratch.glob("**/.coverage.*"), *scratch.glob("coverage-shard-*")]
    return combine(found, root=root, python=sys.executable, output_dir=scratch / "out", types=types, **more)


def alone(root: Path, scratch: Path, files: list[str]) -> tuple[int, int]:
    """The lines and branches that `coverage run -m pytest` of some files covers."""
    tool, data = [sys.executable, "-m", "coverage"], f"--data-file={scratch / 'plain'}"
    subprocess.run([*tool, "run", data, "-m", "pytest", "-q", *files], cwd=root, capture_output=True, check=True)
    subprocess.run([*tool, "json", "-q", data, "-o", str(scratch / "plain.json")], cwd=root, check=True)
    totals = json.loads((scratch / "plain.json").read_text())["totals"]
    return totals["covered_lines"], totals["covered_branches"]


def shares(found: Combined) -> dict[str, tuple[int, int]]:
    assert found.coverage is not None
    return {part.test_type: (part.covered, part.covered_branches) for part in found.coverage.by_type}


@pytest.mark.parametrize("contexts", [False, True], ids=["by type", "by test"])
@pytest.mark.parametrize("slots", [1, 2])
def test_each_types_share_is_what_it_covers_alone(tmp_path: Path, root: Path, slots: int, contexts: bool) -> None:
    measured(root, tmp_path / "data", TYPES, slots=slots, contexts=contexts)
    found = combined(root, tmp_path / "data", TYPES, has_contexts=contexts)
    assert shares(found) == {name: alone(root, tmp_path, files) for name, files in TYPES.items()}
    assert found.coverage is not None
    assert found.coverage.covered == alone(root, tmp_path, ["tests"])[0], "the total is that of all"


def test_the_shares_of_shards_that_had_one_type_each_are_told_apart(tmp_path: Path, root: Path) -> None:
    for number, (name, files) in enumerate(TYPES.items(), 1):
        scratch = tmp_path / f"shard{number}"
        measured(root, scratch, {name: files})
        combined(root, scratch, {name: files}, formats=(), name=shard_data_name(number, len(TYPES)))
        (tmp_path / "all").mkdir(exist_ok=True)
        (scratch / "out" / shard_data_name(number, 3)).rename(tmp_path / "all" / shard_data_name(number, 3))
    found = combined(root, tmp_path / "all", TYPES)
    assert shares(found) == {name: alone(root, tmp_path, files) for name, files in TYPES.items()}


def test_tests_of_one_type_are_not_told_apart_and_no_context_is_switched(tmp_path: Path, root: Path) -> None:
    one = {"fault": TYPES["fault"]}
    measured(root, tmp_path / "data", one)
    import coverage

    for path in (tmp_path / "data").glob(".coverage.*"):
        data = coverage.CoverageData(str(path))
        data.read()
        assert data.measured_contexts() == {""}
    assert shares(combined(root, tmp_path / "data", one)) == {}


@pytest.mark.parametrize("has_arcs", [False, True])
def test_a_job_that_ran_no_test_of_the_one_type_adds_to_what_the_others_covered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_arcs: bool
) -> None:
    """What came of collecting alone belongs to no type; what another job labelled lies beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calc.py").write_text("a = 1\nb = 2\nc = 3\n")
    for number, line in enumerate((1, 2)):
        data = CoverageData(str(tmp_path / f"{number}.data"))
        data.set_context("")
        if has_arcs:
            data.add_arcs({"calc.py": {(-1, line), (line, -1)}})
        else:
            data.add_lines({"calc.py": {line}})
        data.write()

    def together(*names: str) -> Combined:
        return combine(
            [tmp_path / name for name in names],
            root=tmp_path,
            python=sys.executable,
            output_dir=tmp_path / "out",
            formats=(),
            types={"unit": ["test_a.py"]},
        )

    together("0.data")
    found = together("out/coverage.data", "1.data")
    assert found.lines == {"calc.py": (frozenset({1, 2}), frozenset({3}))}
    assert CoverageData(str(tmp_path / "out/coverage.data")).measured_contexts() in (set(), {"type:unit"})
