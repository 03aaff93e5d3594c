"""`--requirements auto` on real projects, with the real installers; what is installed lies in the project itself."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from test_shards import dt, write

SETUPTOOLS = '[build-system]\nrequires = ["setuptools>=61"]\nbuild-backend = "setuptools.build_meta"\n'
GROUPS = '[dependency-groups]\ntest = ["six"]\n'
SHOP = {
    "src/shop/__init__.py": "PRICE = 3\n",
    "tests/test_shop.py": "import shop, six\n\ndef test_price(): assert shop.PRICE == 3\n",
}


def last_line(done: object) -> str:
    return str(getattr(done, "stdout", "")).splitlines()[-1]


def test_a_src_layout_with_a_requirements_file_is_installed_as_well(tmp_path: Path) -> None:
    write(tmp_path, {**SHOP, "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\n' + SETUPTOOLS})
    write(tmp_path, {"requirements.txt": "six\n"})
    done = dt(tmp_path, "run", "--requirements", "auto")
    assert last_line(done) == "1 passed, 0 failed, 0 skipped", done.stdout + done.stderr
    again = dt(tmp_path, "run", "--requirements", "auto")
    assert "environment:" not in again.stdout
    write(
        tmp_path,
        {"pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["iniconfig"]\n' + SETUPTOOLS},
    )
    assert "environment: installing requirements.txt, ." in dt(tmp_path, "run", "--requirements", "auto").stdout


def test_dependency_groups_and_a_lock_decide_what_is_installed(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            **SHOP,
            "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\n[dependency-groups]\ntest = ["six"]\n'
            + SETUPTOOLS,
            "uv.lock": '[[package]]\nname = "six"\nversion = "1.16.0"\nsource = { registry = "x" }\n',
            "tests/test_six.py": "import six\n\ndef test_six(): assert six.__version__ == '1.16.0'\n",
        },
    )
    done = dt(tmp_path, "run", "--requirements", "auto")
    assert last_line(done) == "2 passed, 0 failed, 0 skipped", done.stdout + done.stderr


def test_an_application_that_cannot_be_installed_runs_from_its_tree(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["six"]\n',
            "shop/__init__.py": "PRICE = 3\n",
            "warehouse/__init__.py": "",
            "conftest.py": "",
            "tests/test_shop.py": SHOP["tests/test_shop.py"],
        },
    )
    done = dt(tmp_path, "run", "--requirements", "auto", "--pytest-args", "--import-mode=prepend")
    assert last_line(done) == "1 passed, 0 failed, 0 skipped", done.stdout + done.stderr
    assert "its tests run from the tree" in done.stdout


def test_a_flat_layout_can_be_installed_again_after_its_reports_were_written(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["six"]\n' + SETUPTOOLS,
            "shop/__init__.py": "PRICE = 3\n",
            "tests/test_shop.py": SHOP["tests/test_shop.py"],
        },
    )
    for number in range(2):
        write(tmp_path, {"requirements.txt": f"six\n# {number}\n"})
        done = dt(tmp_path, "run", "--requirements", "auto")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "cannot be installed" not in done.stdout
    assert list((tmp_path / "test-reports").glob("*.json"))


def test_a_project_that_says_nothing_is_told_where_there_is_one(tmp_path: Path) -> None:
    write(tmp_path, {"backend/requirements.txt": "six\n", "tests/test_a.py": "def test_a(): ...\n"})
    done = dt(tmp_path, "run", "--requirements", "auto")
    assert "there are projects in backend: name one with --working-directory" in done.stdout


def test_a_project_for_another_python_gets_one_or_says_which(tmp_path: Path) -> None:
    newer = f"3.{sys.version_info.minor + 1}"
    write(
        tmp_path,
        {
            "pyproject.toml": f'[project]\nname = "shop"\nversion = "1"\nrequires-python = ">={newer}"\n',
            "tests/test_a.py": "def test_a(): ...\n",
        },
    )
    named = dt(tmp_path, "run", "--requirements", "auto", "--python", sys.executable)
    assert named.returncode == 4
    assert f"the project asks for Python >={newer}, and {sys.executable} is 3." in named.stderr
    assert "name one that fits with --python (" in named.stderr


def test_a_version_makes_an_environment_of_it(tmp_path: Path) -> None:
    minor = next((n for n in range(9, 15) if n != sys.version_info.minor and _starts(f"python3.{n}")), None)
    if minor is None:
        pytest.skip("there is no second Python here")
    write(tmp_path, {"tests/test_a.py": f"import sys\n\ndef test_a(): assert sys.version_info[:2] == (3, {minor})\n"})
    done = dt(tmp_path, "run", "--python", f"3.{minor}")
    assert last_line(done) == "1 passed, 0 failed, 0 skipped", done.stdout + done.stderr
    missing = dt(tmp_path, "run", "--python", "3.99")
    assert missing.returncode == 4
    assert "--python is 3.99, and no Python 3.99 was found on the path" in missing.stderr


def _starts(name: str) -> bool:
    import subprocess

    path = shutil.which(name)
    return path is not None and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
