def pytest_json_modifyreport(json_report):
    json_report["by"] = "conftest"
