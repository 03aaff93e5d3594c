def test_b(snapshot):
    assert [1, 2] == snapshot
