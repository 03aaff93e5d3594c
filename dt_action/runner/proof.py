"""
What a project's plugins and hooks could notice: whether files may be collected one by one, and whether anybody needs
a controller session.

Both answers err towards plain pytest. A hook counts as harmless where it is pytest's own, where its plugin is known
(`HARMLESS`), or where its code can be seen to do nothing but what is harmless in each process by itself.
"""

from __future__ import annotations

import inspect
import os
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from .hook_code import looks_at_items_one_by_one, only_adds_ini_lines, source_of
from .ties import tying_plugins

OURS = __package__ or "_dt_runner"

OVER_ALL_ITEMS = (
    "pytest_collection",
    "pytest_collection_modifyitems",
    "pytest_collection_finish",
    "pytest_deselected",
    "pytest_itemcollected",
    "pytest_collectreport",
    "pytest_runtestloop",
    "pytest_make_collect_report",
    "pytest_collectstart",
    "pytest_report_collectionfinish",
)
"""Hooks by which a plugin could tell that files are collected one by one."""

OF_THE_CONTROLLER = (
    "pytest_configure_node",
    "pytest_testnodeready",
    "pytest_testnodedown",
    "pytest_xdist_setupnodes",
    "pytest_xdist_newgateway",
    "pytest_xdist_node_collection_finished",
    "pytest_configure",
    "pytest_unconfigure",
    "pytest_sessionstart",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_runtest_logstart",
    "pytest_runtest_logreport",
    "pytest_runtest_logfinish",
    "pytest_collectreport",
    "pytest_warning_recorded",
    "pytest_keyboard_interrupt",
    "pytest_internalerror",
    "pytest_cmdline_main",
)
"""Hooks that under `pytest -n` are called in the controller, once for all processes."""

HARMLESS: Dict[str, str] = {
    "anyio": "adds fixtures and marks to one test at a time",
    "xdist": "we stand in its place",
    "pytest_asyncio": "makes one test's items, loops and fixtures",
    "pytest_mock": "a fixture",
    "pytest_timeout": "a timer around one test",
    "_hypothesis_pytestplugin": "looks at items one by one; its statistics belong to one test",
    "pytest_trio": "runs one test",
    "pytest_twisted": "runs one test",
    "pytest_tornado": "runs one test",
    "pytest_aiohttp": "fixtures",
    "pytest_localserver": "a fixture",
    "pytest_httpserver": "a fixture",
    "pytest_httpbin": "a fixture",
    "pytest_httpx": "a fixture",
    "pytest_datadir": "a fixture",
    "pytest_lazyfixture": "fixtures of one test",
    "pytest_lazy_fixtures": "fixtures of one test",
    "requests_mock": "a fixture",
    "respx": "a fixture",
    "faker": "a fixture",
    "freezegun": "no hooks",
    "pytest_freezer": "a fixture",
    "pyfakefs": "fixtures",
    "pytest_subtests": "reports of one test",
    "pytest_socket": "closes sockets around one test",
    "pytest_env": "sets variables, in each process",
    "pytest_dotenv": "sets variables, in each process",
    "typeguard": "instruments imports, in each process",
    "jaxtyping": "instruments imports, in each process",
    "dash": "fixtures",
    "langsmith": "acts on its own marks only",
}
"""Plugins, by the top of their module's name, that nobody can see the difference through; each with the reason."""

_WRITING_OPTIONS: Tuple[Tuple[str, str], ...] = (
    ("xmlpath", "--junitxml"),
    ("log_file", "--log-file"),
    ("pastebin", "--pastebin"),
)


def why_whole(config: Any) -> List[str]:
    """Why all items must be collected before the first test; empty where nobody could tell."""
    option = config.option
    reasons = [
        "%s looks at all tests" % flag
        for name, flag in (
            ("lf", "--lf"),
            ("failedfirst", "--ff"),
            ("newfirst", "--nf"),
            ("stepwise", "--sw"),
            ("stepwise_skip", "--sw-skip"),
            ("collectonly", "--collect-only"),
            ("doctestmodules", "--doctest-modules"),
        )
        if getattr(option, name, False)
    ]
    reasons += ["%s ties tests together" % name for name in tying_plugins(config)]
    for hook, implementation in _foreign(config, OVER_ALL_ITEMS):
        if not (hook == "pytest_collection_modifyitems" and looks_at_items_one_by_one(implementation.function)):
            reasons.append("%s has %s" % (_shown(config, implementation), hook))
    for _, implementation in _foreign(config, ("pytest_generate_tests",)):
        text = source_of(implementation.function)
        if text is None or "scope" in text or "indirect" in text:
            reasons.append("%s parametrises with a scope" % _shown(config, implementation))
    return list(dict.fromkeys(reasons))


def why_whole_after_import(session: Any, modules: Iterator[Any]) -> str:
    """Why the order over several files matters: parameters of a fixture that lives longer than a module."""
    wide = ("session", "package")
    for definition in _fixtures(session._fixturemanager):
        if definition.params and definition.scope in wide:
            return "the fixture %s has parameters and the scope %s" % (definition.argname, definition.scope)
    for module in modules:
        if not isinstance(module, pytest.Module):
            return "%s is no plain test module" % module.nodeid
        found = module.__dict__.get("_obj")
        for value in (found, *vars(found).values()) if found is not None else ():
            reason = _wide_parameters(value)
            if reason:
                return "%s: %s" % (module.nodeid, reason)
    return ""


def why_controller(config: Any) -> List[str]:
    """Why a controller session is needed; empty where nobody would notice that there is none."""
    reasons = []
    for name, flag in _WRITING_OPTIONS:
        if getattr(config.option, name, None) or (name == "log_file" and _ini(config, "log_file")):
            reasons.append("%s writes a file" % flag)
    for hook, implementation in _foreign(config, OF_THE_CONTROLLER):
        checks = _HARMLESS_CODE.get(hook)
        if checks is None or not checks(implementation.function):
            reasons.append("%s has %s" % (_shown(config, implementation), hook))
    return list(dict.fromkeys(reasons))


def why_one_process(config: Any) -> str:
    """Why the tests must run in one process, as plain pytest does it; empty where they need not."""
    option = config.option
    for name, flag in (("usepdb", "--pdb"), ("trace", "--trace"), ("stepwise", "--sw"), ("stepwise_skip", "--sw-skip"),
                       ("stepwise_reset", "--sw-reset"), ("setupplan", "--setup-plan"), ("setuponly", "--setup-only"),
                       ("setupshow", "--setup-show"), ("collectonly", "--collect-only")):  # fmt: skip
        if getattr(option, name, False):
            return "%s follows one process" % flag
    if config.pluginmanager.hasplugin("benchmark") or hasattr(option, "benchmark_json"):
        for name in ("benchmark_json", "benchmark_save", "benchmark_autosave", "benchmark_compare", "benchmark_only"):
            if getattr(option, name, None):
                flag = "--" + name.replace("_", "-")
                return "pytest-benchmark measures only where nothing else runs (%s)" % flag
    for _, implementation in _foreign(config, ("pytest_runtestloop",)):
        if not (implementation.hookwrapper or getattr(implementation, "wrapper", False)):
            return "%s runs the tests by a loop of its own" % _shown(config, implementation)
    return ""


# --- whose hooks ------------------------------------------------------------------------------------------------


def _foreign(config: Any, names: Tuple[str, ...]) -> Iterator[Tuple[str, Any]]:
    """The implementations that are neither pytest's own nor ours nor of a plugin known as harmless."""
    for name in names:  # `config.hook` of pytest 7 hides the implementations of hooks that are given paths
        caller = getattr(config.pluginmanager.hook, name, None)
        for implementation in caller.get_hookimpls() if caller is not None else ():
            top = _module_of(implementation).partition(".")[0]
            if top in ("_pytest", "pytest", OURS) or top in HARMLESS:
                continue
            yield name, implementation


def _module_of(implementation: Any) -> str:
    name = getattr(implementation.function, "__module__", None)
    if name is None:
        name = getattr(implementation.plugin, "__name__", type(implementation.plugin).__module__)
    return str(name)


def _shown(config: Any, implementation: Any) -> str:
    """A plugin as a person knows it: the path of a conftest, or a module's name."""
    path = getattr(getattr(implementation.function, "__code__", None), "co_filename", "")
    if os.path.basename(path) == "conftest.py":
        try:
            return os.path.relpath(path, str(config.rootpath)).replace(os.sep, "/")
        except ValueError:  # Windows, on two drives
            return path
    return _module_of(implementation).partition(".")[0]


def _ini(config: Any, name: str) -> Any:
    try:
        return config.getini(name)
    except (KeyError, ValueError):
        return None


def _fixtures(manager: Any) -> Iterator[Any]:
    """All fixtures known so far: of plugins and conftest files."""
    if hasattr(manager, "_get_all_fixture_defs"):  # pytest 9.2
        yield from manager._get_all_fixture_defs()
        return
    for definitions in manager._arg2fixturedefs.values():
        yield from definitions


def _wide_parameters(value: Any) -> str:
    marks = getattr(value, "pytestmark", ())
    for mark in marks if isinstance(marks, (list, tuple)) else (marks,):
        if getattr(mark, "name", "") == "xdist_group":
            return "xdist_group may hold over files"
        if getattr(mark, "name", "") == "parametrize":
            if mark.kwargs.get("scope") in ("session", "package"):
                return "parametrize with the scope %s" % mark.kwargs["scope"]
            if mark.kwargs.get("indirect"):
                return "parametrize with indirect"
    marker = getattr(value, "_fixture_function_marker", None) or getattr(value, "_pytestfixturefunction", None)
    if marker is not None and getattr(marker, "params", None):
        scope = marker.scope
        if callable(scope) or scope in ("session", "package"):
            return "a fixture with parameters that lives longer than its module"
    if inspect.isclass(value):
        for inner in list(vars(value).values()):
            reason = _wide_parameters(inner) if not inspect.isclass(inner) else ""
            if reason:
                return reason
    return ""


_HARMLESS_CODE: Dict[str, Callable[[Callable[..., Any]], bool]] = {"pytest_configure": only_adds_ini_lines}
