import os
import sys


def test_a():
    pass
