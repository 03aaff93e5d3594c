"""Of which type a test file is."""

from __future__ import annotations

import pytest

from dt_action.discovery.test_types import TypeRules

RULES = TypeRules({})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/integration/test_a.py", ("integration",)),
        ("tests/Integration-Tests/test_a.py", ("integration",)),
        ("tests/fault/deep/test_a.py", ("fault",)),
        ("tests/integration/stress/test_a.py", ("stress",)),
        ("tests/test_api_integration.py", ("integration",)),
        ("tests/integration_test.py", ("integration",)),
        ("tests/test_stress_memory.py", ("stress",)),
        ("tests/monitoring_test_a.py", ("monitoring",)),
        ("tests/test_default.py", ()),
        ("tests/test_distress.py", ()),
        ("tests/integrations/test_a.py", ()),
        ("tests/unit/test_a.py", ()),
        ("test.py", ()),
    ],
)
def test_a_directory_or_a_name_gives_the_type(path: str, expected: tuple[str, ...]) -> None:
    assert RULES.types_of(path, b"") == expected


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\npytestmark = pytest.mark.stress\n",
        "import pytest\npytestmark = [pytest.mark.slow, pytest.mark.stress()]\n",
        "from pytest import mark\n@mark.stress\ndef test_a(): pass\n",
        "import pytest\nclass TestA:\n    @pytest.mark.stress(level=2)\n    async def test_a(self): pass\n",
        "import pytest\nclass TestA:\n    pytestmark = pytest.mark.stress\n",
        "import pytest\nheavy = pytest.mark.stress\n@heavy\ndef test_a(): pass\n",
    ],
)
def test_a_marker_gives_the_type_however_it_is_put_on(source: str) -> None:
    assert RULES.types_of("tests/test_a.py", source.encode()) == ("stress",)


@pytest.mark.parametrize(
    "source",
    [
        "# pytest.mark.stress\n",
        'DOC = "use @pytest.mark.stress"\n',
        "import pytest\nUNUSED = pytest.mark.stress\n",
        "import pytest\n@pytest.mark.stressful\ndef test_a(): pass\n",
        "import pytest\n@pytest.mark.stress\ndef test_a(:\n",
    ],
)
def test_words_that_mark_nothing_give_no_type(source: str) -> None:
    assert RULES.types_of("tests/test_a.py", source.encode()) == ()


def test_a_file_with_tests_of_two_types_is_of_both() -> None:
    source = b"import pytest\n@pytest.mark.fault\ndef test_a(): pass\n@pytest.mark.stress\ndef test_b(): pass\n"
    assert RULES.types_of("tests/test_a.py", source) == ("fault", "stress")


def test_configuration_outranks_marker_outranks_directory_outranks_name() -> None:
    path, source = "tests/fault/test_monitoring.py", b"import pytest\npytestmark = pytest.mark.stress\n"
    assert TypeRules({"nightly": ["tests/fault/**"]}).types_of(path, source) == ("nightly",)
    assert RULES.types_of(path, source) == ("stress",)
    assert RULES.types_of(path, b"") == ("fault",)
    assert RULES.types_of("tests/test_monitoring.py", b"") == ("monitoring",)


def test_a_type_of_the_users_own_works_by_marker_directory_and_name() -> None:
    rules = TypeRules({"gpu-heavy": []})
    assert rules.types_of("tests/gpu_heavy/test_a.py", b"") == ("gpu-heavy",)
    rules = TypeRules({"nightly": []})
    assert rules.types_of("tests/test_nightly.py", b"") == ("nightly",)
    assert rules.types_of("a.py", b"import pytest\npytestmark = pytest.mark.nightly\n") == ("nightly",)


def test_source_that_cannot_be_read_as_python_gives_no_type() -> None:
    for source in (b"\xff\xfe mark.stress \x00", b"mark.stress" + b"(" * 10_000, b"mark.stress \0"):
        assert RULES.types_of("tests/test_a.py", source) == ()
