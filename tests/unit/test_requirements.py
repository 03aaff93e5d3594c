"""What a project says its tests need, in whichever of the usual ways it says so."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.errors import ConfigurationError
from dt_action.workspace.interpreters import fits
from dt_action.workspace.requirements import Wanted, own_requirements, projects_below, wanted

PROJECT = '[project]\nname = "shop"\nrequires-python = ">=3.9,<3.14"\ndependencies = ["attrs"]\n'

EXTRAS = '[project.optional-dependencies]\ndev = ["ruff"]\nTest = ["pytest-mock"]\n'


def write(root: Path, **files: str) -> Path:
    """`tests__a_txt` is tests/a.txt."""
    for name, text in files.items():
        path = root / re.sub(r"_(toml|txt|lock)$", r".\1", name).replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return root


def auto(root: Path, tests: str = "") -> Wanted:
    return wanted(root, own_requirements(root, tests))


def projects(found: Wanted) -> list[str]:
    return [project.word for project in found.projects]


def test_a_project_is_installed_with_the_extra_of_its_tests(tmp_path: Path) -> None:
    write(
        tmp_path, pyproject_toml=PROJECT + '[project.optional-dependencies]\ndev = ["ruff"]\nTest = ["pytest-mock"]\n'
    )
    found = auto(tmp_path)
    assert projects(found) == [f"{tmp_path}[Test]"]
    assert found.projects[0].dependencies == ("attrs", "pytest-mock")
    assert found.python == ">=3.9,<3.14"
    assert found.is_bound_to_tree


def test_a_project_with_requirements_files_is_installed_beside_them(tmp_path: Path) -> None:
    write(tmp_path, pyproject_toml=PROJECT, requirements_txt="attrs==25.1\n", src__shop____init__="")
    found = auto(tmp_path)
    assert found.files == (tmp_path / "requirements.txt",)
    assert projects(found) == [str(tmp_path)]


def test_dependency_groups_are_expanded(tmp_path: Path) -> None:
    groups = """
        [dependency-groups]
        dev = ["ruff"]
        test = ["pytest-mock>=3", {include-group = "Typing.Stubs"}]
        typing-stubs = ["types-requests", {include-group = "test"}]
        """
    write(tmp_path, pyproject_toml=PROJECT + dedent(groups))
    assert auto(tmp_path).words == ("pytest-mock>=3", "types-requests")


def test_groups_without_a_project_install_nothing_of_the_tree(tmp_path: Path) -> None:
    write(tmp_path, pyproject_toml='[dependency-groups]\ndev = ["attrs"]\n')
    found = auto(tmp_path)
    assert (found.words, projects(found), found.is_bound_to_tree) == (("attrs",), [], False)


@pytest.mark.parametrize(
    "text",
    [
        '[tool.uv]\ndev-dependencies = ["attrs"]\n',
        '[tool.pdm.dev-dependencies]\ntest = ["attrs"]\n',
        '[tool.hatch.envs.hatch-test]\nextra-dependencies = ["attrs"]\n',
        '[tool.hatch.envs.default]\ndependencies = ["attrs"]\n',
    ],
)
def test_groups_that_tools_keep_in_places_of_their_own(tmp_path: Path, text: str) -> None:
    write(tmp_path, pyproject_toml=PROJECT + text)
    assert auto(tmp_path).words == ("attrs",)


def test_poetrys_notation_is_understood(tmp_path: Path) -> None:
    text = """
        [tool.poetry]
        name = "shop"
        [tool.poetry.dependencies]
        python = "^3.10"
        [tool.poetry.group.test.dependencies]
        attrs = "^25.1"
        small = "^0.2.3"
        tilde = "~1.4"
        pinned = "1.2.3"
        anything = "*"
        ranged = ">=1,<2"
        extra = {version = "^2", extras = ["x", "y"], markers = "python_version < '3.12'"}
        source = {git = "https://example.org/a.git", tag = "v1"}
        [build-system]
        build-backend = "poetry.core.masonry.api"
        """
    write(tmp_path, pyproject_toml=text)
    found = auto(tmp_path)
    assert found.python == "^3.10"
    assert projects(found) == [str(tmp_path)]
    assert found.words == (
        "attrs>=25.1,<26",
        "small>=0.2.3,<0.3",
        "tilde>=1.4,<1.5",
        "pinned==1.2.3",
        "anything",
        "ranged>=1,<2",
        "extra[x,y]>=2,<3; python_version < '3.12'",
        "source @ git+https://example.org/a.git@v1",
    )


def test_a_project_that_is_no_package_is_not_installed_but_what_it_needs_is(tmp_path: Path) -> None:
    write(tmp_path, pyproject_toml=PROJECT + "[tool.uv]\npackage = false\n")
    found = auto(tmp_path)
    assert (found.words, projects(found)) == (("attrs",), [])
    text = '[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\npython = "*"\nattrs = "^25"\n'
    write(tmp_path, pyproject_toml=text)
    assert auto(tmp_path).words == ("attrs>=25,<26",)


def test_locks_hold_versions_of_what_comes_from_an_index(tmp_path: Path) -> None:
    lock = """
        version = 1
        [[package]]
        name = "shop"
        version = "0.1.0"
        source = { editable = "." }
        [[package]]
        name = "attrs"
        version = "25.1.0"
        source = { registry = "https://pypi.org/simple" }
        [[package]]
        name = "numpy"
        version = "2.2.0"
        source = { registry = "https://pypi.org/simple" }
        resolution-markers = ["python_full_version < '3.11'"]
        [[package]]
        name = "numpy"
        version = "2.4.0"
        source = { registry = "https://pypi.org/simple" }
        resolution-markers = ["python_full_version >= '3.12'", "python_full_version == '3.11.*'"]
        [[package]]
        name = "mine"
        version = "1"
        source = { git = "https://example.org/mine.git" }
        """
    write(tmp_path, pyproject_toml=PROJECT, uv_lock=lock)
    assert auto(tmp_path).constraints == (
        "attrs==25.1.0",
        "numpy==2.2.0 ; (python_full_version < '3.11')",
        "numpy==2.4.0 ; (python_full_version >= '3.12') or (python_full_version == '3.11.*')",
    )


def test_other_locks(tmp_path: Path) -> None:
    packages = '[[package]]\nname = "attrs"\nversion = "25.1.0"\n[[package]]\nname = "git"\nversion = "1"\n'
    write(tmp_path, pyproject_toml=PROJECT, poetry_lock=packages + '[package.source]\ntype = "git"\n')
    assert auto(tmp_path).constraints == ("attrs==25.1.0",)
    (tmp_path / "poetry.lock").unlink()
    write(tmp_path, pylock_toml='[[packages]]\nname = "attrs"\nversion = "25.2.0"\n')
    assert auto(tmp_path).constraints == ("attrs==25.2.0",)


def test_pipfiles_and_their_locks(tmp_path: Path) -> None:
    (tmp_path / "Pipfile").write_text('[packages]\nattrs = "*"\n[dev-packages]\nsix = ">=1.16"\n')
    assert auto(tmp_path).words == ("attrs", "six>=1.16")
    (tmp_path / "Pipfile.lock").write_text('{"default": {"attrs": {"version": "==25.1"}}, "develop": {}}')
    assert auto(tmp_path).words == ("attrs==25.1",)


def test_a_monorepos_package_is_found_by_its_tests(tmp_path: Path) -> None:
    write(tmp_path, packages__core__pyproject_toml=PROJECT, packages__core__requirements_txt="six\n")
    assert own_requirements(tmp_path) == ()
    assert projects_below(tmp_path) == ("packages/core",)
    found = auto(tmp_path, "packages/core/tests/unit")
    assert projects(found) == [str(tmp_path / "packages/core")]
    assert found.files == (tmp_path / "packages/core/requirements.txt",)
    write(tmp_path, requirements_txt="attrs\n")
    assert own_requirements(tmp_path, "packages/core")[0] == "requirements.txt"
    assert own_requirements(tmp_path, "tests") == ("requirements.txt",)


def test_a_pyproject_with_settings_of_tools_alone_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, pyproject_toml="[tool.ruff]\n")
    assert own_requirements(tmp_path) == ()


def test_all_that_has_a_say_is_an_input(tmp_path: Path) -> None:
    write(
        tmp_path, pyproject_toml=PROJECT, requirements__base_txt="six\n-e ..\n", requirements__test_txt="-r base.txt\n"
    )
    inputs = wanted(tmp_path, ["requirements/test.txt"]).inputs
    assert {path.resolve() for path in inputs} == {
        tmp_path / "requirements/test.txt",
        tmp_path / "requirements/base.txt",
        tmp_path / "pyproject.toml",
    }
    dynamic = '[project]\nname = "shop"\ndynamic = ["dependencies"]\n[tool.setuptools.dynamic]\n'
    write(tmp_path, pyproject_toml=dynamic + 'dependencies = {file = ["requirements/base.txt"]}\n')
    assert tmp_path / "requirements/base.txt" in wanted(tmp_path, ["pyproject.toml"]).inputs


@pytest.mark.parametrize("name", ["pyproject.toml", "uv.lock", "Pipfile.lock"])
def test_a_file_that_is_broken_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, pyproject_toml=PROJECT)
    (tmp_path / name).write_text("[broken")
    with pytest.raises(ConfigurationError, match=name):
        wanted(tmp_path, [name])


@pytest.mark.parametrize(
    ("version", "asked", "answer"),
    [
        ("3.13.1", ">=3.9,<3.12", False),
        ("3.11.4", ">=3.9,<3.12", True),
        ("3.11", "<3.12", True),
        ("3.12.0", "<=3.12", True),
        ("3.12.1", "<=3.12", False),
        ("3.12.1", "!=3.12.*", False),
        ("3.12.1", "^3.10", True),
        ("3.9.1", "^3.10", False),
        ("3.11.2", "~3.11", True),
        ("3.12.0", "~=3.11", True),
        ("3.12.0", "~=3.11.0", False),
        ("3.12.0", "==3.12.*", True),
        ("3.12.0", ">3.11", True),
        ("3.8.1", "2.7.*|| >=3.8", True),
        ("3.13.1", "what?", True),
        ("3.13.1", "", True),
    ],
)
def test_whether_a_version_is_what_a_project_asks_for(version: str, asked: str, answer: bool) -> None:
    assert fits(version, asked) is answer


signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!=", "~="])
numbers = st.builds("3.{}{}".format, st.integers(6, 14), st.sampled_from(["", ".0", ".2"]))


@given(st.lists(st.tuples(signs, numbers), min_size=1, max_size=3), st.integers(6, 14), st.integers(0, 4))
def test_it_agrees_with_pips_own_library(clauses: list[tuple[str, str]], minor: int, micro: int) -> None:
    specifiers = pytest.importorskip("packaging.specifiers")
    asked = ",".join(sign + bound for sign, bound in clauses)
    version = f"3.{minor}.{micro}"
    assert fits(version, asked) == specifiers.SpecifierSet(asked).contains(version)
