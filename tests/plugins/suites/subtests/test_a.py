import unittest
import pytest


def test_some(subtests):
    for n in range(3):
        with subtests.test(n=n):
            assert n != 1


def test_all(subtests):
    for n in range(3):
        with subtests.test("m", n=n):
            pass


def test_skips(subtests):
    with subtests.test("s"):
        pytest.skip("no")


class TestU(unittest.TestCase):
    def test_u(self):
        for n in range(3):
            with self.subTest(n=n):
                self.assertNotEqual(n, 2)
