"""What an option of pytest is where nobody gives it: the default under which a conftest file declares it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import partial

from dt_action.analysis.interpreter import Interpreter, Scope
from dt_action.analysis.project import SourceModule
from dt_action.analysis.syntax import last_word
from dt_action.analysis.values import UNKNOWN, Value


def default_of(interpreter: Interpreter, name: str, module: SourceModule) -> Value:
    """
    The text that `config.getoption(name)` gives by default; UNKNOWN for a switch, which says nothing of hardware.

    Before: `parser.addoption("--device", default="cuda")` and a fixture that returns it. After: a test that makes
    tensors on the fixture requires cuda.
    """
    wanted = name.lstrip("-").replace("-", "_")
    for conftest in (module, *interpreter.project.conftests(module)):
        defaults: dict[str, ast.expr] = conftest.note("options", conftest.tree, partial(_defaults, conftest))
        if wanted in defaults:
            found = interpreter.safe_value(defaults[wanted], Scope(conftest))
            return found if isinstance(found, str) else UNKNOWN
    return UNKNOWN


def _defaults(module: SourceModule) -> dict[str, ast.expr]:
    return dict(_declared(module))


def _declared(module: SourceModule) -> Iterator[tuple[str, ast.expr]]:
    """The default of each option that a module declares, by name."""
    if "addoption" not in module.text:
        return
    for statement in module.tree.body:
        if not isinstance(statement, ast.FunctionDef) or statement.name != "pytest_addoption":
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and last_word(node.func) in ("addoption", "add_option"):
                default = next((word.value for word in node.keywords if word.arg == "default"), None)
                for arg in node.args:
                    if default is not None and isinstance(arg, ast.Constant) and isinstance(arg.value, str):
                        yield arg.value.lstrip("-").replace("-", "_"), default
