import pytest


@pytest.mark.order(2)
def test_second():
    assert open("order.txt").read().startswith("first")
    open("order.txt", "a").write("second\n")


@pytest.mark.order("last")
def test_last():
    assert open("order.txt").read() == "first\nsecond\nthird\n"
