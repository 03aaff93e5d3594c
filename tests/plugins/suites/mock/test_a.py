import os
import pytest


@pytest.fixture(scope="module", autouse=True)
def all_of_it(module_mocker):
    module_mocker.patch("os.getlogin", return_value="somebody")


@pytest.mark.parametrize("n", range(5))
def test_n(mocker, n):
    fake = mocker.patch("os.getcwd", return_value=str(n))
    assert os.getcwd() == str(n) and os.getlogin() == "somebody"
    fake.assert_called_once_with()


def test_red(mocker):
    stub = mocker.stub()
    stub(1)
    stub.assert_called_once_with(2)
