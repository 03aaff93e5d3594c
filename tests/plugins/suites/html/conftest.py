import pytest


def pytest_html_report_title(report):
    report.title = "All of the shop"


def pytest_html_results_summary(prefix, summary, postfix):
    prefix.append("<p>said by the conftest</p>")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    from pytest_html import extras
    if report.when == "call":
        report.extras = getattr(report, "extras", []) + [extras.text("extra of " + item.name)]
