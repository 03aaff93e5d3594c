import pytest


@pytest.mark.dependency(name="a", scope="session")
def test_a(): pass


@pytest.mark.dependency(name="red", scope="session")
def test_red(): assert 0
