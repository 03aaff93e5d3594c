def test_equal(snapshot):
    assert {"a": 1} == snapshot


def test_other(snapshot):
    assert "new" == snapshot
