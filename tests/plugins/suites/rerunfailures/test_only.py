import pytest

state = {"n": 0}


@pytest.mark.flaky(reruns=3, only_rerun="OSError")
def test_other_error():
    state["n"] += 1
    assert state["n"] > 1, "no OSError: not tried again"


@pytest.fixture
def breaks_once():
    state["setup"] = state.get("setup", 0) + 1
    if state["setup"] == 1:
        raise OSError


def test_setup(breaks_once):
    assert state["setup"] == 2
