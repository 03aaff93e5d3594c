"""The suites here are run by pytest and by dt side by side, and are no tests of this project."""

collect_ignore = ["suites"]
