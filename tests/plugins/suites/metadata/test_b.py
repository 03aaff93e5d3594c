def test_b(record_testsuite_property, record_property):
    record_property("of", "test")


def test_red(): assert 0
