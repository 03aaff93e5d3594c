import pytest, warnings


def test_b(): warnings.warn("told")


@pytest.mark.skip
def test_skipped(): pass
