import pytest


@pytest.mark.parametrize("n", range(3))
def test_n(n): pass


def test_red(json_metadata):
    json_metadata["key"] = {"a": [1, 2]}
    assert 0
