"""Which hooks are seen to do nothing that could be noticed when files are collected one by one."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dt_action.runner.hook_code import looks_at_items_one_by_one, only_adds_ini_lines

ONE_BY_ONE = {
    "marks by option": """
        def pytest_collection_modifyitems(config, items):
            if config.getoption("--runslow"):
                return
            skip = pytest.mark.skip(reason="slow")
            for item in items:
                if "slow" in item.keywords:
                    item.add_marker(skip)
    """,
    "marks by path": """
        def pytest_collection_modifyitems(items):
            for item in items:
                path = str(item.fspath)
                if path.startswith("/gpu") or any(mark.name == "cuda" for mark in item.iter_markers()):
                    item.add_marker(pytest.mark.gpu)
                item.user_properties.append(("suite", "x"))
    """,
    "two loops": """
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker("one")
            for test in items:
                test.add_marker("two")
    """,
}

NOT_ONE_BY_ONE = {
    "counts": "def pytest_collection_modifyitems(items):\n    if len(items) == 0: raise pytest.UsageError('none')\n",
    "sorts": "def pytest_collection_modifyitems(items):\n    items.sort(key=lambda item: item.name)\n",
    "replaces": "def pytest_collection_modifyitems(items):\n    items[:] = [i for i in items if 'x' in i.name]\n",
    "gathers": """
        seen = []
        def pytest_collection_modifyitems(items):
            for item in items:
                seen.append(item.nodeid)
    """,
    "gathers in its own list and deselects": """
        def pytest_collection_modifyitems(config, items):
            out = []
            for item in items:
                out.append(item)
            config.hook.pytest_deselected(items=out)
    """,
    "counts in the loop": """
        def pytest_collection_modifyitems(items):
            count = 0
            for item in items:
                count += 1
                if count > 3:
                    item.add_marker(pytest.mark.skip)
    """,
    "remembers the one before": """
        def pytest_collection_modifyitems(items):
            last = None
            for item in items:
                if last is not None and last.fspath != item.fspath:
                    item.add_marker("first")
                last = item
    """,
    "stops early": """
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker("first")
                break
    """,
    "numbers": "def pytest_collection_modifyitems(items):\n    for n, i in enumerate(items): i.add_marker(str(n))\n",
    "goes through the session": """
        def pytest_collection_modifyitems(session, items):
            for item in items:
                item.add_marker(str(len(session.items)))
    """,
    "reaches the session through the item": """
        def pytest_collection_modifyitems(items):
            for item in items:
                item.session.items.reverse()
    """,
    "calls who knows what": """
        def pytest_collection_modifyitems(items):
            for item in items:
                register(item)
    """,
    "does something each time": """
        calls = []
        def pytest_collection_modifyitems(items):
            calls.append(1)
            for item in items:
                item.add_marker("x")
    """,
    "hands the list on": "def pytest_collection_modifyitems(items):\n    for item in items: item.all = items\n",
    "writes to a global": """
        def pytest_collection_modifyitems(items):
            global found
            for item in items:
                found = item
    """,
    "wraps the others": """
        @pytest.hookimpl(hookwrapper=True)
        def pytest_collection_modifyitems(items):
            yield
            for item in items:
                item.add_marker("x")
    """,
}


def made(tmp_path: Path, source: str) -> Callable[..., Any]:
    file = tmp_path / "conftest.py"
    file.write_text("import pytest\n" + textwrap.dedent(source))
    spec = importlib.util.spec_from_file_location("conftest_of_a_test", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return next(value for name, value in vars(module).items() if name.startswith("pytest_"))


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_a_hook_that_treats_each_item_by_itself_is_seen_as_such(tmp_path: Path, name: str) -> None:
    assert looks_at_items_one_by_one(made(tmp_path, ONE_BY_ONE[name]))


@pytest.mark.parametrize("name", NOT_ONE_BY_ONE)
def test_any_other_hook_wants_all_items(tmp_path: Path, name: str) -> None:
    assert not looks_at_items_one_by_one(made(tmp_path, NOT_ONE_BY_ONE[name]))


def test_a_hook_without_source_wants_all_items() -> None:
    namespace: dict[str, Any] = {}
    exec("def pytest_collection_modifyitems(items):\n    for item in items: item.add_marker('x')", namespace)
    assert not looks_at_items_one_by_one(namespace["pytest_collection_modifyitems"])


def test_registering_marks_is_no_reason_for_a_controller(tmp_path: Path) -> None:
    harmless = """
        def pytest_configure(config):
            '''Marks.'''
            config.addinivalue_line("markers", "slow: takes long")
            for name in ("a", "b"):
                config.addinivalue_line("markers", name)
    """
    assert only_adds_ini_lines(made(tmp_path, harmless))


@pytest.mark.parametrize(
    "line",
    [
        "config.state = start()",
        "config.addinivalue_line('markers', start())",
        "if not hasattr(config, 'workerinput'): start()",
        "os.environ['X'] = '1'",
    ],
)
def test_anything_else_at_configuration_is(tmp_path: Path, line: str) -> None:
    assert not only_adds_ini_lines(made(tmp_path, f"import os\ndef pytest_configure(config):\n    {line}\n"))
