"""What each kind of statement does, and how it leaves the block that it stands in."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from dt_action.analysis import gates
from dt_action.analysis.effects import asks_availability
from dt_action.analysis.presumption import presume
from dt_action.analysis.syntax import Statement, is_skip_raise, last_word, target_names
from dt_action.analysis.values import (
    UNKNOWN,
    Class,
    External,
    Function,
    HardwareMissingError,
    Mark,
    Marked,
    ModuleValue,
    RaisedError,
    SkippedError,
    Unknown,
    Value,
    is_known,
)

if TYPE_CHECKING:
    from dt_action.analysis.execution import Executor
    from dt_action.analysis.interpreter import Scope

MAX_LOOP: Final = 32
_RAISING: Final = re.compile(r"(raises|assertRaises\w*|assertWarns\w*|warns)$")
_SHADOWED: Final = frozenset({"torch", "sys", "os", "platform", "pytest", "unittest", "jax"})
"""Never taken for a folder of the project that happens to have the name."""


@dataclass(frozen=True, slots=True)
class Return:
    """A function is left with a value."""

    value: Value


class Stop:
    """A loop's `break` or `continue`, or an exception: what follows in the block does not run."""

    def __init__(self, word: str) -> None:
        self.word = word


BREAK, CONTINUE, RAISE = Stop("break"), Stop("continue"), Stop("raise")
Flow = Return | Stop | None


def run_if(executor: Executor, statement: ast.If, scope: Scope, maybe: list[Value]) -> Flow:
    """Run an `if`; where its condition is not known, `maybe` collects what a branch of it would return."""
    world = executor.world
    skips = gates.leads_to_skip(scope.module, statement)
    if skips:
        with world.noting() as seen:
            verdict = executor.interpreter.truth_of(statement.test, scope)
            seen.gates_tell_makes |= seen.tells_makes
    else:
        verdict = executor.interpreter.truth_of(statement.test, scope)
    if not isinstance(verdict, Unknown):
        return executor.block(statement.body if verdict else statement.orelse, scope)
    guess = None if skips else scope.module.note("presumption", statement, partial(presume, statement.test))
    if guess is not None:
        with world.supposing():
            try:
                return executor.block(statement.body if guess else statement.orelse, scope)
            except (HardwareMissingError, SkippedError):
                return None
    flows = [_supposed(executor, branch, scope) for branch in (statement.body, statement.orelse)]
    executor.forget(statement, scope)
    returned = [flow.value for flow in flows if isinstance(flow, Return)]
    if all(flow is not None for flow in flows):
        return Return(returned[0] if len(returned) == 1 or _all_same(returned) else UNKNOWN) if returned else flows[0]
    maybe += returned
    return None


_DECISIVE: Final = (ast.Return, ast.Raise, ast.If, ast.Try)


def _supposed(executor: Executor, statements: Sequence[Statement], scope: Scope) -> Flow:
    """What a branch that may be taken would do, without a trace."""
    if not statements or not any(isinstance(inner, _DECISIVE) for inner in statements):
        return None
    with executor.world.supposing():
        try:
            return executor.block(statements, scope.apart())
        except (HardwareMissingError, SkippedError):
            return RAISE


def _for(executor: Executor, statement: ast.For, scope: Scope) -> Flow:
    items = executor.interpreter.settle(executor.interpreter.value(statement.iter, scope))
    if isinstance(items, dict):
        items = list(items)
    if isinstance(items, (set, frozenset)):
        items = sorted(items, key=repr)
    if not isinstance(items, (list, tuple, range)) or len(items) > MAX_LOOP:
        for name in target_names(statement.target):
            scope.bind(name, UNKNOWN)
        _supposed(executor, statement.body, scope)
        executor.forget(statement, scope)
        return None
    for item in list(items):
        executor.assign(statement.target, item, scope)
        flow = executor.block(statement.body, scope)
        if flow is BREAK:
            return None
        if flow is not None and flow is not CONTINUE:
            return flow
    return executor.block(statement.orelse, scope)


def _with(executor: Executor, statement: ast.With | ast.AsyncWith, scope: Scope) -> Flow:
    uses_devices = executor.uses_devices
    try:
        return _with_items(executor, statement, scope)
    finally:
        executor.uses_devices = uses_devices


def _with_items(executor: Executor, statement: ast.With | ast.AsyncWith, scope: Scope) -> Flow:
    is_quiet = False
    for item in statement.items:
        expression = item.context_expr
        if isinstance(expression, ast.Call) and _RAISING.search(last_word(expression.func)):
            is_quiet = True
        if isinstance(expression, ast.Call) and last_word(expression.func) == "FakeTensorMode":
            executor.uses_devices = False  # its tensors are on no device
        value = executor.interpreter.value(expression, scope)
        gates.enter(executor, expression, value)
        if item.optional_vars is not None:
            executor.assign(item.optional_vars, UNKNOWN if isinstance(value, Marked) else value, scope)
    if not is_quiet:
        return executor.block(statement.body, scope)
    _supposed(executor, statement.body, scope)
    executor.forget(statement, scope)
    return None


def _try(executor: Executor, statement: ast.Try, scope: Scope) -> Flow:
    failure: HardwareMissingError | None = None
    flow: Flow = None
    try:
        flow = executor.block(statement.body, scope)
        if flow is None:
            flow = executor.block(statement.orelse, scope)
    except HardwareMissingError as error:
        failure = error
    if failure is not None:
        if not statement.handlers:
            executor.block(statement.finalbody, scope)
            raise failure
        flow = executor.block(statement.handlers[0].body, scope)
    return executor.block(statement.finalbody, scope) or flow


def _function(executor: Executor, statement: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> Flow:
    if any(
        isinstance(decorator, ast.Attribute) and decorator.attr in ("setter", "deleter")
        for decorator in statement.decorator_list
    ):
        return None  # what is read is the property
    value: Value = Function(statement, scope.module, scope.locals)
    if scope.locals:
        for decorator in reversed(statement.decorator_list):
            if gates.may_mark(decorator):
                value = gates.decorated(executor, value, decorator, scope)
        scope.locals[-1][statement.name] = value
    return None


def _class(executor: Executor, statement: ast.ClassDef, scope: Scope) -> Flow:
    scope.bind(statement.name, Class(statement, scope.module))
    return None


def _assign(executor: Executor, statement: ast.Assign, scope: Scope) -> Flow:
    value = executor.interpreter.value(statement.value, scope)
    for target in statement.targets:
        executor.assign(target, value, scope)
    return None


def _annotated(executor: Executor, statement: ast.AnnAssign, scope: Scope) -> Flow:
    if statement.value is not None:
        executor.assign(statement.target, executor.interpreter.value(statement.value, scope), scope)
    return None


def _augmented(executor: Executor, statement: ast.AugAssign, scope: Scope) -> Flow:
    target = statement.target
    read = ast.copy_location(_as_read(target), target)
    joined = ast.copy_location(ast.BinOp(left=read, op=statement.op, right=statement.value), statement)
    executor.assign(target, executor.interpreter.value(joined, scope), scope)
    return None


def _expression(executor: Executor, statement: ast.Expr, scope: Scope) -> Flow:
    if not isinstance(statement.value, ast.Constant):
        value = executor.interpreter.value(statement.value, scope)
        if isinstance(value, Mark) and value.gates:  # a helper out of reach that skips, by its name
            executor.meet(replace(value, gates=tuple(gate.under("skip-in-body") for gate in value.gates)))
            raise SkippedError
    return None


def _return(executor: Executor, statement: ast.Return, scope: Scope) -> Flow:
    return Return(executor.interpreter.value(statement.value, scope))


def _raise(executor: Executor, statement: ast.Raise, scope: Scope) -> Flow:
    if is_skip_raise(statement.exc):
        executor.close(scope.module.path, statement.lineno, "skip-in-body")
        raise SkippedError
    raise RaisedError(f"raise at {scope.module.path}:{statement.lineno}")


def _assert(executor: Executor, statement: ast.Assert, scope: Scope) -> Flow:
    if not asks_availability(scope.module, statement):
        return None  # it is about what the code does
    asked = len(executor.world.trace)
    verdict = executor.interpreter.truth_of(statement.test, scope)
    if verdict is False and len(executor.world.trace) > asked:
        raise RaisedError(f"assert at {scope.module.path}:{statement.lineno}")
    return None


def _import(executor: Executor, statement: ast.Import, scope: Scope) -> Flow:
    for alias in statement.names:
        gates.check_import(executor, alias.name)
        name = alias.name if alias.asname else alias.name.partition(".")[0]
        module = executor.interpreter.project.find(name, scope.module)
        value: Value = ModuleValue(module, name) if module and name not in _SHADOWED else External(name)
        scope.bind(alias.asname or name, value)
    return None


def _import_from(executor: Executor, statement: ast.ImportFrom, scope: Scope) -> Flow:
    if not scope.locals:
        return None
    name, environment = executor.wanted or ("", None)
    for alias in statement.names:
        bound = alias.asname or alias.name
        if alias.name != "*" and (environment is not scope.locals[-1] or bound == name):
            scope.locals[-1][bound] = _imported(executor, statement, alias.name, scope)
    return None


def _imported(executor: Executor, statement: ast.ImportFrom, name: str, scope: Scope) -> Value:
    source = statement.module or ""
    dotted = f"{source}.{name}"
    if not statement.level:
        gates.check_import(executor, source)
        if dotted in executor.interpreter.vocabulary.names:
            return External(dotted)
    module = executor.interpreter.project.find(source, scope.module, statement.level)
    if module is not None:
        found = executor.interpreter.module_value(module, name)
        if found is not None or name in module.bindings.names:
            return (
                External(dotted) if found is UNKNOWN and dotted in executor.interpreter.vocabulary.prefixes else found
            )
    inner = executor.interpreter.project.find(f"{source}.{name}".strip("."), scope.module, statement.level)
    if inner is not None:
        return ModuleValue(inner, dotted if not statement.level else "")
    return executor.interpreter.attribute(External(source), name) if source else UNKNOWN


def _flow(executor: Executor, statement: Statement, scope: Scope) -> Flow:
    return BREAK if isinstance(statement, ast.Break) else CONTINUE


def _pass(executor: Executor, statement: Statement, scope: Scope) -> Flow:
    return None


def _all_same(values: Sequence[Value]) -> bool:
    return all(is_known(value) and value == values[0] for value in values)


def _as_read(target: ast.expr) -> ast.expr:
    return ast.Name(id=target.id, ctx=ast.Load()) if isinstance(target, ast.Name) else ast.Constant(value=...)


STATEMENTS: Final[dict[type[ast.stmt], Callable[[Executor, Any, Scope], Flow]]] = {
    ast.For: _for,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Try: _try,
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.ClassDef: _class,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Expr: _expression,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.Assert: _assert,
    ast.Import: _import,
    ast.ImportFrom: _import_from,
    ast.Break: _flow,
    ast.Continue: _flow,
    ast.Pass: _pass,
    ast.Global: _pass,
    ast.Nonlocal: _pass,
    ast.Delete: _pass,
}
