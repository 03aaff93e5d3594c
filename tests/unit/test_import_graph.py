"""Which files import which."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dt_action.planning.import_graph import read_graph
from dt_action.planning.reach.repository import read_repository


def project(root: Path, **files: str) -> Path:
    """`pkg__a="import x"` is the file pkg/a.py."""
    for name, source in files.items():
        path = root / (name.replace("__", "/").replace("INIT", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


PACKAGE = {"pkg__INIT": "", "pkg__a": "", "pkg__sub__INIT": "", "pkg__sub__b": ""}


@pytest.mark.parametrize(
    ("source", "reached"),
    [
        ("import pkg.a", {"pkg/__init__.py", "pkg/a.py"}),
        ("from pkg import a", {"pkg/__init__.py", "pkg/a.py"}),
        ("from pkg.sub.b import thing", {"pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/b.py"}),
        ("def test():\n    import pkg.a as x", {"pkg/__init__.py", "pkg/a.py"}),
        ("import importlib\nimportlib.import_module('pkg.a')", {"pkg/__init__.py", "pkg/a.py"}),
        ("patch('pkg.a.thing.method')", {"pkg/__init__.py", "pkg/a.py"}),
        ("run(['-m', 'pkg'])", {"pkg/__init__.py", "pkg/a.py", "pkg/sub/__init__.py", "pkg/sub/b.py"}),
        ("f'pkg.sub.{name}'", {"pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/b.py"}),
        ("import pkg\npkg.sub.b.thing", {"pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/b.py"}),
        ("shell('python -m pkg.a --help')", {"pkg/__init__.py", "pkg/a.py"}),
        ("run('-c', 'import pkg.a; pkg.a.f()')", {"pkg/__init__.py", "pkg/a.py"}),
        ("load('pkg.a:main')", {"pkg/__init__.py", "pkg/a.py"}),
        ("import os, json, pkgx", set()),
        ("'pkg and more'", set()),
    ],
)
def test_every_way_to_name_a_module_counts(tmp_path: Path, source: str, reached: set[str]) -> None:
    graph = read_graph(project(tmp_path, tests__test_x=source, **PACKAGE))
    assert graph.imports["tests/test_x.py"] == reached


def test_relative_imports_are_those_of_the_package(tmp_path: Path) -> None:
    graph = read_graph(
        project(tmp_path, **{**PACKAGE, "pkg__sub__b": "from .. import a\nfrom . import c\nfrom ...x import y"})
    )
    assert graph.imports["pkg/sub/b.py"] == {"pkg/__init__.py", "pkg/a.py", "pkg/sub/__init__.py"}


def test_an_init_file_imports_relative_to_itself(tmp_path: Path) -> None:
    graph = read_graph(project(tmp_path, **{**PACKAGE, "pkg__sub__INIT": "from .b import x"}))
    assert "pkg/sub/b.py" in graph.imports["pkg/sub/__init__.py"]


def test_sources_under_src_and_tests_beside_each_other_are_found(tmp_path: Path) -> None:
    graph = read_graph(
        project(
            tmp_path, src__pkg__INIT="", src__pkg__a="", tests__other="", tests__test_x="import pkg.a\nimport other"
        )
    )
    assert graph.imports["tests/test_x.py"] == {"src/pkg/__init__.py", "src/pkg/a.py", "tests/other.py"}


def test_a_test_reaches_the_conftests_above_it(tmp_path: Path) -> None:
    graph = read_graph(project(tmp_path, conftest="", tests__conftest="", tests__a__test_x="", other__conftest=""))
    assert graph.imports["tests/a/test_x.py"] == {"conftest.py", "tests/conftest.py"}


def test_importers_of_a_deleted_file_are_found(tmp_path: Path) -> None:
    graph = read_graph(project(tmp_path, tests__test_x="from pkg import gone", pkg__INIT=""), gone=["pkg/gone.py"])
    assert "pkg/gone.py" in graph.imports["tests/test_x.py"]


def test_the_way_to_a_change_is_the_shortest(tmp_path: Path) -> None:
    graph = read_graph(project(tmp_path, a="import b\nimport c", b="import d", c="import b", d="", e=""))
    assert graph.way_to("a.py", ["d.py"]) == ("a.py", "b.py", "d.py")
    assert graph.way_to("e.py", ["d.py"]) == ()


def test_circles_end(tmp_path: Path) -> None:
    graph = read_graph(project(tmp_path, a="import b", b="import a"))
    assert graph.way_to("a.py", ["x.py"]) == ()


@pytest.mark.parametrize("source", ["def (", "\0", "x = (" * 5_000], ids=["syntax", "nul", "deep"])
def test_what_cannot_be_read_may_reach_anything(tmp_path: Path, source: str) -> None:
    graph = read_graph(project(tmp_path, test_x="import odd", odd=source))
    assert graph.unparsed == {"odd.py"}
    assert graph.way_to("test_x.py", ["elsewhere.py"]) == ("test_x.py", "odd.py")


def test_environments_and_caches_are_left_out(tmp_path: Path) -> None:
    root = project(tmp_path, **{"env3__a": "", "node_modules__b": "", "ok": ""})
    (root / ".tox").mkdir()
    (root / ".tox/c.py").write_text("")
    (root / "env3/pyvenv.cfg").write_text("")
    assert set(read_graph(root).imports) == {"ok.py"}


def test_what_a_test_imports_by_a_name_put_together_is_any_module(tmp_path: Path) -> None:
    test = "from importlib import import_module\nimport_module(name)"
    graph = read_graph(project(tmp_path, tests__test_x=test, tests__test_y="", far__away=""), tests=["tests/test_y.py"])
    assert graph.way_to("tests/test_x.py", ["far/away.py"]) == ("tests/test_x.py", "*", "far/away.py")
    assert graph.way_to("tests/test_x.py", ["tests/test_y.py"]) == ()
    assert graph.way_to("tests/test_y.py", ["far/away.py"]) == ()


def test_facts_are_remembered_and_follow_the_files(tmp_path: Path) -> None:
    root, cache = project(tmp_path / "p", test_x="import a", a="", b=""), tmp_path / "cache/facts.json"

    def imported() -> tuple[tuple[int, str], ...]:
        later = time.time_ns() + 60 * 10**9
        facts = read_repository(root, cache=cache, clock_ns=lambda: later).facts["test_x.py"]
        return facts.imports if facts else ()

    assert imported() == ((0, "a"),)
    cache.write_text(cache.read_text().replace('[0,"a"]', '[0,"told"]'))
    assert imported() == ((0, "told"),)
    (root / "test_x.py").write_text("import b")
    assert imported() == ((0, "b"),)
    cache.write_text("{")
    assert imported() == ((0, "b"),)
