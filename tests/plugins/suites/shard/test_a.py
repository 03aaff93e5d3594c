import pytest


@pytest.mark.parametrize('n', range(9))
def test_n(n): pass
