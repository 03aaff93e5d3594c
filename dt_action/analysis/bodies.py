"""Follows the body of a test, a fixture or a set-up: what one statement lacks closes a gate, and ends it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any, Final, TypeGuard

from dt_action.analysis import gates
from dt_action.analysis.effects import Purpose, Slice, effects_of
from dt_action.analysis.execution import Executor
from dt_action.analysis.interpreter import Interpreter, Scope, Watched
from dt_action.analysis.project import SourceModule
from dt_action.analysis.syntax import FunctionNode, argument_names, span
from dt_action.analysis.values import UNKNOWN, Env, HardwareMissingError, RaisedError, SkippedError, Value

_PREPARING: Final = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.If, ast.FunctionDef)
"""Statements that may come before an early return."""
_MOCKS: Final = re.compile(
    r"(?:patch|setattr|setitem|mock_\w+)\b[^\n]*\n?[^\n]*"
    r"(?:cuda|device_count|is_available|mps|xla|tpu|hpu|npu|xpu|rocm|accelerator)",
    re.IGNORECASE,
)


def follow(
    executor: Executor,
    node: FunctionNode,
    module: SourceModule,
    given: Env,
    rule: str,
    owner: Value,
    purpose: Purpose = "gates",
    read: set[str] | None = None,
) -> Value:
    """
    What a function gives, followed statement by statement; the gates that it meets are put down to `rule`.

    `given` are arguments by name, `owner` is what it is a method of, None for a function; what serves no `purpose` is
    left out. The names of arguments that are read are added to `read`. Raises SkippedError where it ends at a gate that
    is closed here.
    """
    names = argument_names(node)
    environment: Env = dict.fromkeys(names, UNKNOWN) | _defaults(executor.interpreter, node, module)
    environment |= {name: value for name, value in given.items() if name in environment}
    if names and owner is not None and names[0] in ("self", "cls"):
        environment[names[0]] = owner
    if read is not None:
        environment = Watched(environment, read)
    part = effects_of(executor.interpreter.project, module).slice(node, purpose)
    with executor.only(part):
        return _run(executor, node.body, part, Scope(module, environment), rule)


def _defaults(interpreter: Interpreter, node: FunctionNode, module: SourceModule) -> Env:
    spec = node.args
    names = [arg.arg for arg in (*spec.posonlyargs, *spec.args)]
    pairs = [*zip(reversed(names), reversed(spec.defaults), strict=False)]
    pairs += [(arg.arg, node) for arg, node in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if node]
    return {name: interpreter.safe_value(default, Scope(module)) for name, default in pairs}


def _run(executor: Executor, body: Sequence[ast.stmt], part: Slice, scope: Scope, rule: str) -> Value:
    prologue = True
    for statement in body:
        if id(statement) not in part.kept and not _is_yield(statement):
            prologue = prologue and isinstance(statement, _PREPARING)
            continue
        if prologue and rule == "skip-in-body" and _returns_early(executor, statement, scope):
            continue
        prologue = prologue and isinstance(statement, _PREPARING)
        if isinstance(statement, ast.Return):
            return _given_back(executor, statement.value, scope)
        if _is_yield(statement):
            return _given_back(executor, statement.value.value, scope)
        guarded(executor, statement, scope, rule)
    return UNKNOWN


def _is_yield(statement: ast.stmt) -> TypeGuard[Any]:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Yield)


def _given_back(executor: Executor, node: ast.expr | None, scope: Scope) -> Value:
    try:
        return executor.interpreter.value(node, scope)
    except HardwareMissingError as error:
        executor.fail(scope.module.path, node.lineno if node else 1, rule_of(error))
        return UNKNOWN


def _returns_early(executor: Executor, statement: ast.stmt, scope: Scope) -> bool:
    """
    Rule `early-return`: a test that leaves before it has done anything.

    Before: `if not torch.cuda.is_available(): return`. After: the test requires cuda.
    """
    if not isinstance(statement, ast.If) or statement.orelse or len(statement.body) > 2:
        return False
    last = statement.body[-1]
    if not (isinstance(last, ast.Return) and last.value is None):
        return False
    asked = len(executor.world.trace)
    try:
        verdict = executor.interpreter.truth_of(statement.test, scope)
    except HardwareMissingError:
        verdict = UNKNOWN
    if verdict is True and len(executor.world.trace) > asked:
        executor.close(scope.module.path, statement.lineno, "early-return")
        if not executor.goes_on:
            raise SkippedError
    return True


def guarded(executor: Executor, statement: ast.stmt, scope: Scope, rule: str) -> None:
    """Run one statement; what it lacks closes a gate at its line. Raises SkippedError where that ends the body."""
    world = executor.world
    asked = len(world.trace)
    with world.noting() as seen:
        try:
            if rule == "module-skip" and isinstance(statement, (ast.Import, ast.ImportFrom)):
                _check_imports(executor, statement)
            else:
                executor.statement(statement, scope, [])
        except HardwareMissingError as error:
            if isinstance(error, RaisedError) and len(world.trace) == asked:
                return
            executor.forget(statement, scope)
            executor.fail(scope.module.path, statement.lineno, rule_of(error))
        except SkippedError:
            if not executor.goes_on:
                raise
            executor.forget(statement, scope)
        finally:
            if rule != "skip-in-body":
                seen.gates = [gate.under(rule) if gate.rule == "skip-in-body" else gate for gate in seen.gates]


def _check_imports(executor: Executor, statement: ast.Import | ast.ImportFrom) -> None:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            gates.check_import(executor, alias.name)
    elif not statement.level and statement.module:
        gates.check_import(executor, statement.module)


def rule_of(error: HardwareMissingError) -> str:
    """The rule that a lack is put down to."""
    if isinstance(error, RaisedError):
        return "assert" if error.what.startswith("assert") else "raise"
    return "implicit-import" if error.what.startswith("import ") else "device-use"


def mentions_mocks(module: SourceModule, node: FunctionNode) -> bool:
    """True for a function that replaces what answers for the machine."""

    def look() -> bool:
        first, last = span(node)
        return bool(_MOCKS.search("\n".join(module.lines[first - 1 : last])))

    return module.note("mocks", node, look)
