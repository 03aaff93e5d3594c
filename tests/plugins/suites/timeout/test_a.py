import time
import pytest


@pytest.mark.timeout(0.3)
def test_slow():
    time.sleep(10)


@pytest.mark.timeout(0.3, func_only=True)
def test_quick(): pass


@pytest.fixture
def slow():
    time.sleep(10)


@pytest.mark.timeout(0.3)
def test_slow_setup(slow): pass
