"""About how many cases a file holds, by its code alone, and whether they must stay together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from dt_action.planning.counting import Counted, Fixtures, count, fixtures_of

WRITTEN_DOWN = {
    "functions": "def test_a(): pass\nasync def helper(): pass\ndef test_b(): pass\n",
    "parametrised": """
        import pytest
        SIZES = [1, 2, 3]

        @pytest.mark.parametrize("n", range(10))
        def test_a(n): pass

        @pytest.mark.parametrize("n", SIZES)
        @pytest.mark.parametrize("m", ["x", "y"])
        def test_b(n, m): pass

        @pytest.mark.parametrize("n", [2 * k for k in range(7)])
        def test_c(n): pass

        @pytest.mark.parametrize("n", sorted({"a": 1, "b": 2}))
        def test_d(n): pass
        """,
    "classes": """
        import unittest, pytest

        class TestA:
            def test_a(self): pass
            def helper(self): pass
            class TestInside:
                def test_b(self): pass

        @pytest.mark.parametrize("n", (1, 2))
        class TestB:
            def test_c(self, n): pass
            def test_d(self, n): pass

        class Old(unittest.TestCase):
            def test_e(self): pass
        """,
    "marked": """
        import pytest
        pytestmark = [pytest.mark.parametrize("n", range(4))]

        def test_a(n): pass
        if True:
            def test_b(n): pass
        """,
}


def test_it_counts_what_pytest_collects_where_the_values_are_written_down(tmp_path: Path) -> None:
    for name, source in WRITTEN_DOWN.items():
        (tmp_path / f"test_{name}.py").write_text(dedent(source))
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", "--rootdir=."]
    collected = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    for name in WRITTEN_DOWN:
        file = tmp_path / f"test_{name}.py"
        assert count(file.read_bytes()).cases == collected.count(f"{file.name}::"), name


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\n@pytest.fixture(scope='module')\ndef db(): ...\ndef test_a(db): ...\n",
        "from pytest import fixture\n@fixture(scope='module', autouse=True)\ndef db(): ...\ndef test_a(): ...\n",
        "import pytest\n@pytest.fixture(scope='package', name='db')\ndef made(): ...\ndef test_a(db): ...\n",
        "import pytest\n@pytest.fixture(scope=wide())\ndef db(): ...\n@mark.usefixtures('db')\ndef test_a(): ...\n",
        "def setup_module(): ...\ndef test_a(): ...\n",
        "def setUpModule(): ...\ndef test_a(): ...\n",
        "def test_a(:\n",
    ],
)
def test_a_file_whose_cases_share_a_set_up_of_the_module_is_one_piece(source: str) -> None:
    assert count(source.encode()).is_one_piece


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\n@pytest.fixture(scope='session')\ndef db(): ...\ndef test_a(db): ...\n",
        "import pytest\n@pytest.fixture(scope='class')\ndef db(): ...\nclass TestA:\n    def test_a(self, db): ...\n",
        "import pytest\n@pytest.fixture(scope='module')\ndef db(): ...\ndef test_a(): ...\n",
    ],
)
def test_a_file_without_one_may_be_cut(source: str) -> None:
    assert not count(source.encode()).is_one_piece


def test_fixtures_of_conftest_files_count_where_they_are_used() -> None:
    above = [fixtures_of(b"import pytest\n@pytest.fixture(scope='module')\ndef server(): ...\n")]
    assert count(b"def test_a(server): ...\n", above).is_one_piece
    assert not count(b"def test_a(): ...\n", above).is_one_piece
    everywhere = [fixtures_of(b"import pytest\n@pytest.fixture(scope='module', autouse=True)\ndef clean(): ...\n")]
    assert count(b"def test_a(): ...\n", everywhere).is_one_piece


@pytest.mark.parametrize("source", [b"", b"\xff\x00", b"x = 1\n", b"(" * 5000])
def test_what_holds_no_tests_weighs_something_all_the_same(source: bytes) -> None:
    assert count(source).cases >= 1
    assert fixtures_of(source) == Fixtures()


def test_a_product_without_end_is_bounded() -> None:
    source = (
        "import pytest\n" + "@pytest.mark.parametrize('n', range(99999999999999999999))\n" * 3 + "def test_a(n): ...\n"
    )
    assert count(source.encode()) == Counted(cases=1_000_000)
