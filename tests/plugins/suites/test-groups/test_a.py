import pytest


@pytest.mark.parametrize('n', range(7))
def test_n(n): pass
