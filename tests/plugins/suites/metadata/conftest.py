def pytest_metadata(metadata):
    metadata["by"] = "conftest"
    metadata.pop("Packages", None)
