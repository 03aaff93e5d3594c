"""Which files are found, and what is said where they are not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dt_action.app.readings import collection_arguments
from dt_action.discovery import discover
from dt_action.errors import ConfigurationError, NoTestsError
from dt_action.options import Settings


def tree(root: Path, *paths: str, **contents: str) -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("", encoding="utf-8")


def found(root: Path, **options: object) -> list[str]:
    return [file.path for file in discover(Settings(root=root, **options), {})]  # type: ignore[arg-type]


def test_without_options_all_that_pytest_would_collect_is_found(tmp_path: Path) -> None:
    tree(tmp_path, "tests/test_a.py", "tests/b_test.py", "tests/helper.py", "pkg/test_c.py", "build/test_d.py")
    assert found(tmp_path) == ["pkg/test_c.py", "tests/b_test.py", "tests/test_a.py"]


def test_a_directory_narrows_the_search(tmp_path: Path) -> None:
    tree(tmp_path, "tests/test_a.py", "pkg/test_c.py")
    assert found(tmp_path, test_dir="tests") == ["tests/test_a.py"]
    assert found(tmp_path, test_dir="./tests/") == ["tests/test_a.py"]
    assert found(tmp_path, test_dir=str(tmp_path / "tests")) == ["tests/test_a.py"]


def test_a_pattern_is_relative_to_the_directory_and_stands_for_python_files(tmp_path: Path) -> None:
    tree(tmp_path, "tests/unit/check_a.py", "tests/unit/deep/check_b.py", "tests/test_a.py", "check_c.py")
    assert found(tmp_path, test_dir="tests", test_pattern="check_*.py") == [
        "tests/unit/check_a.py",
        "tests/unit/deep/check_b.py",
    ]
    assert found(tmp_path, test_dir="tests", test_pattern="unit/check_*.py") == ["tests/unit/check_a.py"]
    assert found(tmp_path, test_pattern="tests/**/check_b.py") == ["tests/unit/deep/check_b.py"]


def test_named_files_are_taken_in_order_and_once_whatever_their_name(tmp_path: Path) -> None:
    tree(tmp_path, "tests/test_a.py", "scripts/selfcheck.py")
    named = ("scripts/selfcheck.py", "tests/test_a.py", "./tests/test_a.py")
    assert found(tmp_path, test_files=named) == ["scripts/selfcheck.py", "tests/test_a.py"]


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    tree(tmp_path, "tests/test_a.py")
    with pytest.raises(ConfigurationError) as caught:
        found(tmp_path, test_files=("tests/test_a.py", "gone.py", "tests", "tests/test_a.py::test_x"))
    said = str(caught.value)
    assert "'gone.py', which is not in" in said
    assert "use --test-dir tests" in said
    assert '--test-files tests/test_a.py --pytest-args "-k test_x"' in said


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'tests', which is not in"):
        found(tmp_path, test_dir="tests")


def test_an_empty_directory_holds_no_tests(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    assert found(tmp_path, test_dir="tests") == []


def test_paths_keep_their_unicode_and_spaces(tmp_path: Path) -> None:
    tree(tmp_path, "tests/größe 世界/test_ñ 🎉.py")
    assert found(tmp_path) == ["tests/größe 世界/test_ñ 🎉.py"]


def test_a_link_that_leads_back_up_is_not_followed_for_ever(tmp_path: Path) -> None:
    tree(tmp_path, "tests/sub/test_a.py")
    (tmp_path / "tests/sub/up").symlink_to(tmp_path / "tests", target_is_directory=True)
    (tmp_path / "tests/self").symlink_to(tmp_path / "tests/self")
    assert found(tmp_path) == ["tests/sub/test_a.py"]


def test_a_linked_directory_is_followed_as_pytest_does(tmp_path: Path) -> None:
    tree(tmp_path, "shared/test_a.py")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/linked").symlink_to(tmp_path / "shared", target_is_directory=True)
    assert found(tmp_path, test_dir="tests") == ["tests/linked/test_a.py"]


def test_types_filter_the_files_and_label_them(tmp_path: Path) -> None:
    tree(tmp_path, "tests/integration/test_a.py", "tests/stress/test_b.py", "tests/test_c.py")
    files = discover(Settings(root=tmp_path, test_type=("stress", "integration")), {})
    assert [(file.path, file.test_type) for file in files] == [
        ("tests/integration/test_a.py", "integration"),
        ("tests/stress/test_b.py", "stress"),
    ]
    assert len(found(tmp_path, test_type=("all",))) == 3


def test_a_file_of_two_types_runs_for_either(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "import pytest\n@pytest.mark.fault\ndef test_a(): pass\n@pytest.mark.stress\ndef test_b(): pass\n",
        encoding="utf-8",
    )
    for wanted in ("fault", "stress"):
        (file,) = discover(Settings(root=tmp_path, test_type=(wanted,)), {})
        assert file.test_type == wanted


def test_an_unknown_type_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    tree(tmp_path, "test_a.py")
    with pytest.raises(ConfigurationError) as caught:
        found(tmp_path, test_type=("integratoin",), test_types={"nightly": ()})
    assert "'integratoin'" in str(caught.value)
    assert "nightly, integration, fault, monitoring, stress" in str(caught.value)


def test_types_that_leave_nothing_say_what_there_is(tmp_path: Path) -> None:
    tree(tmp_path, "tests/stress/test_a.py", "tests/test_b.py")
    with pytest.raises(NoTestsError, match="none of the 2 test files is of type fault; their types are: stress"):
        found(tmp_path, test_type=("fault",))


def test_pytest_is_started_with_what_was_asked_for() -> None:
    paths = ["a/test_a.py", "b/test_b.py"]
    assert collection_arguments(Settings(), paths) == ()
    assert collection_arguments(Settings(test_dir="a"), paths) == ("a",)
    assert collection_arguments(Settings(test_dir="a", test_pattern="*.py"), paths) == tuple(paths)
    assert collection_arguments(Settings(test_files=("a/test_a.py",)), paths) == tuple(paths)


def test_six_thousand_files_are_found_in_a_second(tmp_path: Path) -> None:
    source = "import pytest\n\n@pytest.mark.slow\ndef test_a():\n    assert True\n" * 20
    for directory in range(60):
        (tmp_path / f"d{directory}").mkdir()
        for number in range(100):
            (tmp_path / f"d{directory}/test_{number}.py").write_text(source)
    began = time.process_time()
    assert len(found(tmp_path)) == 6000
    assert time.process_time() - began < 1.0
