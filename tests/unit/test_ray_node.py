"""What actors keep on a Ray node: a fresh tree for each run, made once, removed when no process holds it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from dt_action.errors import ConfigurationError
from dt_action.model.pytest_start import PytestStart
from dt_action.workspace.environments import is_bound_to_tree

ray_node = pytest.importorskip("dt_action.hosts.ray_node", reason="nodes are Linux or macOS")


def bundle(**files: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


def test_a_second_slot_of_a_run_shares_its_tree_and_the_setup_command_ran_once(tmp_path: Path) -> None:
    start = PytestStart(run="a", setup="echo x >> ran")
    first = ray_node.enter(tmp_path, bundle(one="1"), start, None, dict(os.environ))
    second = ray_node.enter(tmp_path, bundle(one="1"), start, None, dict(os.environ))

    assert first.root == second.root
    assert (first.root / "ran").read_text() == "x\n"


def test_another_run_of_the_same_tree_sees_nothing_of_what_tests_wrote(tmp_path: Path) -> None:
    first = ray_node.enter(tmp_path, bundle(one="1"), PytestStart(run="a"), None, {})
    (first.root / "left behind").touch()

    second = ray_node.enter(tmp_path, bundle(one="1"), PytestStart(run="b"), None, {})

    assert [path.name for path in second.root.iterdir()] == ["one"]


def test_what_a_process_holds_stays_until_the_process_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom dt_action.hosts import ray_node\n"
        "from dt_action.model.pytest_start import PytestStart\n"
        f"held = ray_node.enter(Path({str(tmp_path)!r}), {bundle(one='1')!r}, PytestStart(run='a'), None, {{}})\n"
        "print(flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        ray_node.sweep(tmp_path, kept_s=-1.0)
        assert (tmp_path / "runs" / "a" / "one").exists()
        holder.kill()

    ray_node.sweep(tmp_path)
    assert (tmp_path / "runs" / "a").exists(), "kept for the slot that may follow"
    ray_node.sweep(tmp_path, kept_s=-1.0)
    assert [*(tmp_path / "runs").iterdir()] == []


def test_a_requirements_file_outside_of_the_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil.txt").touch()
    with pytest.raises(ConfigurationError, match="outside"):
        ray_node.enter(tmp_path, bundle(one="1"), PytestStart(run="a", requirements=("../../evil.txt",)), None, {})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pytest", False),
        ("-e .", True),
        ("  --editable=./lib", True),
        (".[test]", True),
        ("./lib", True),
        ("..", True),
        ("file:lib", True),
        ("-r more.txt", True),
        ("# -e .", False),
        ("example.org", False),
    ],
)
def test_an_environment_that_holds_the_tree_itself_is_for_that_tree_only(
    tmp_path: Path, line: str, expected: bool
) -> None:
    (tmp_path / "more.txt").write_text("-e .\n")
    (tmp_path / "requirements.txt").write_text(f"attrs\n{line}\n")
    assert is_bound_to_tree(tmp_path, ["requirements.txt"]) is expected
