import random
import pytest


@pytest.mark.parametrize("n", range(6))
def test_same_start(n):
    # the generator starts anew before each test, from the seed
    with open("drawn-%d.txt" % n, "w") as file:
        file.write("%.6f" % random.random())
