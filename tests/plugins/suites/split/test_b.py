def test_b(): pass


def test_new(): pass
