import pytest


@pytest.mark.dependency(depends=["a"], scope="session")
def test_needs_a(): pass


@pytest.mark.dependency(depends=["red"], scope="session")
def test_needs_red(): pass


@pytest.mark.dependency()
def test_here(): pass


@pytest.mark.dependency(depends=["test_here"])
def test_needs_here(): pass
