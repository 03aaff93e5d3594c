import random


class TestOne:
    def test_a(self):
        open("a.txt", "w").write("%.6f" % random.random())

    def test_b(self):
        open("b.txt", "w").write("%.6f" % random.random())
