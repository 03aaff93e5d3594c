import pytest
from pytest_bdd import given, parsers, then, when


@given("a basket", target_fixture="basket")
def basket():
    return []


@when(parsers.parse("I add {n:d} apple"))
def add(basket, n):
    basket.extend("a" * n)


@then(parsers.parse("there are {n:d} apples"))
def count(basket, n):
    assert len(basket) == n
