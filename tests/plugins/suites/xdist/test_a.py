import pytest


@pytest.mark.parametrize("n", range(10))
def test_n(n, once, worker_id, testrun_uid):
    assert once["made"].startswith("gw") and worker_id.startswith("gw") and testrun_uid


seen = []


@pytest.mark.xdist_group("steps")
def test_step_1():
    seen.append(1)


@pytest.mark.xdist_group("steps")
def test_step_2():
    assert seen == [1]


@pytest.mark.xdist_group("over files")
def test_first():
    import test_b
    test_b.ran.append("a")
