import allure
import pytest


@allure.feature("shop")
@pytest.mark.parametrize("n", range(3))
def test_n(n):
    with allure.step("one step"):
        allure.attach("text", name="note", attachment_type=allure.attachment_type.TEXT)


@allure.severity(allure.severity_level.CRITICAL)
def test_red():
    assert 0
