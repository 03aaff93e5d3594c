from lib import f


def test_b() -> None:
    f('x')
