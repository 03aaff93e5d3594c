import pytest, warnings


@pytest.mark.parametrize("n", range(3))
def test_n(n, record_property):
    record_property("n", n)
    warnings.warn("deprecated", DeprecationWarning)


def test_red():
    print("to stdout")
    assert [1, 2] == [1, 3]
