"""Follows the statements of a test and of the helpers it calls, on one imagined machine."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from dt_action.analysis import gates, vocabulary
from dt_action.analysis.heat import heat_of
from dt_action.analysis.interpreter import MAX_DEPTH, Interpreter, Scope, is_known, unmarked
from dt_action.analysis.presumption import presume
from dt_action.analysis.project import FunctionNode, Statement, bound_names, flat, target_names
from dt_action.analysis.values import (
    UNKNOWN,
    Class,
    Env,
    External,
    Function,
    Gate,
    HardwareMissingError,
    Instance,
    Marked,
    ModuleValue,
    TestBody,
    Unknown,
    Value,
)
from dt_action.analysis.worlds import Memory

MAX_LOOP = 32
SHORT_FUNCTION = 4
PREDICATE: Final = re.compile(
    r"^_*(is|has|have|can|num|get|support|use|infer|check|require|need|skip|should|must|only|run|maybe|mark|device|"
    r"available|count|accelerat|backend|detect|torch_device|cuda|gpu|rocm|hip|mps|xpu|hpu|npu|tpu|sm_?\d)",
    re.IGNORECASE,
)
"""Functions of the project's own library that are read: those whose names say that they answer or gate."""
AVAILABILITY: Final = re.compile(r"^_*((is|has|have|can|supports?)_|(is|has|can)[A-Z])|available", re.IGNORECASE)
"""Predicates: one that asked about hardware, and had no definite no, is a yes. What is installed is taken to work."""
_AVAILABILITY_WORD: Final = re.compile(r"available|device_count|capability|device_properties|is_(cuda|rocm|hip|gpu)")
_RAISING: Final = re.compile(r"(raises|assertRaises\w*|assertWarns\w*|warns)$")


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


class RaisedError(HardwareMissingError):
    """The code itself raises; it reaches the caller as a missing device does."""


class Executor:
    """The statements' side of an `interpreter`. Gates that are met are noted in its world, and passed through."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.world = interpreter.world
        self.site: tuple[str, int] | None = None
        self.bodies: dict[TestBody, Callable[[], None]] = {}
        self.asked_before: int | None = None
        self._wanted: tuple[str, Env] | None = None
        self.uses_devices = True
        self.relevant: frozenset[int] | None = None

    # -- calls ---------------------------------------------------------------------------------------------

    def call_node(self, node: ast.Call, scope: Scope) -> Value:
        """What a call expression gives."""
        interpreter = self.interpreter
        function = interpreter.value(node.func, scope)
        if isinstance(function, External):
            special = gates.special(function.name)
            if special is not None:
                return special(self, node, scope, function.name)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "skipTest":
            self.close(scope.module.path, node.lineno, "skip-in-body")
            return None
        args = [interpreter.value(arg, scope) for arg in node.args]
        if any(isinstance(arg, ast.Starred) for arg in node.args):
            args = self._spread(node.args, args)
        kwargs: dict[str, Value] = {}
        for keyword in node.keywords:
            value = interpreter.value(keyword.value, scope)
            if keyword.arg is not None:
                kwargs[keyword.arg] = value
            elif isinstance(value, dict):
                kwargs.update({str(name): inner for name, inner in value.items()})
        if self.uses_devices:
            gates.check_device_use(self, node, scope, function, args, kwargs)
        if isinstance(function, Function) and not self._may_follow(function, scope, args):
            return UNKNOWN
        return interpreter.call(function, args, kwargs)

    @staticmethod
    def _spread(nodes: Sequence[ast.expr], values: Sequence[Value]) -> list[Value]:
        spread: list[Value] = []
        for node, value in zip(nodes, values, strict=True):
            if isinstance(node, ast.Starred):
                spread += value if isinstance(value, (list, tuple)) else [UNKNOWN]
            else:
                spread.append(value)
        return spread

    def _may_follow(self, function: Function, scope: Scope, args: Sequence[Value]) -> bool:
        if function.module is scope.module or isinstance(function.node, ast.Lambda):
            return True
        if any(isinstance(arg, (Marked, TestBody)) for arg in args):
            return True
        return "test" in function.module.path or bool(PREDICATE.match(function.node.name))

    def call(self, function: Function, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        """Run a function of the project as far as the analysis can follow it."""
        if self.interpreter.depth >= MAX_DEPTH:
            self.interpreter.cuts += 1
            return UNKNOWN
        environment = self._arguments(function, args, kwargs)
        scope = Scope(function.module, *function.closure, environment)
        self.interpreter.depth += 1
        try:
            if isinstance(function.node, ast.Lambda):
                return self.interpreter.value(function.node.body, scope)
            memory = self._memory_of(function, args, kwargs)
            if memory is None:
                return self._run_function(function.node, scope, args, kwargs)
            before = self.interpreter.cuts
            return memory.recall(
                self.world,
                partial(self._run_function, function.node, scope, args, kwargs),
                lambda: self.interpreter.cuts == before,
            )
        finally:
            self.interpreter.depth -= 1

    def _memory_of(self, function: Function, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Memory | None:
        """Where calls of a top-level function with the same constants are remembered."""
        if function.closure or function.owner is not None or self.site is None:
            return None
        if not all(isinstance(value, _HASHABLE) for value in (*args, *kwargs.values())):
            return None
        key = (self.site, tuple(args), tuple(sorted(kwargs.items())))
        known: dict[object, Memory] = function.module.note("calls", function.node, dict)
        return known.setdefault(key, Memory())

    def _run_function(
        self, node: FunctionNode, scope: Scope, args: Sequence[Value], kwargs: Mapping[str, Value]
    ) -> Value:
        if scope.module.note("generator", node, lambda: _is_generator(node)):
            return UNKNOWN
        is_predicate = bool(AVAILABILITY.match(node.name))
        asked = len(self.world.trace)
        is_long = len(node.body) > SHORT_FUNCTION
        try:
            with self.only(heat_of(scope.module).relevant(node) if is_long else None):
                flow = self.block(node.body, scope)
        except HardwareMissingError:
            if not is_predicate:
                raise
            flow = Return(UNKNOWN if node.name in vocabulary.NAMED else False)
        value = flow.value if isinstance(flow, Return) else None
        if value is not UNKNOWN:
            return value
        known = vocabulary.NAMED.get(node.name)
        if known is not None:
            return known(self.world, args, kwargs)
        return True if is_predicate and len(self.world.trace) > asked else UNKNOWN

    @contextmanager
    def only(self, relevant: frozenset[int] | None) -> Iterator[None]:
        """Run only these statements inside, by id; None for all."""
        before = self.relevant
        self.relevant = relevant
        try:
            yield
        finally:
            self.relevant = before

    def _arguments(self, function: Function, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Env:
        spec = function.node.args
        names = [arg.arg for arg in (*spec.posonlyargs, *spec.args)]
        given = ([function.owner] if function.owner is not None else []) + list(args)
        environment: Env = {}
        closure = Scope(function.module, *function.closure)
        for name, default in zip(reversed(names), reversed(spec.defaults), strict=False):
            environment[name] = self.interpreter.value(default, closure)
        for keyword, keyword_default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
            if keyword_default is not None:
                environment[keyword.arg] = self.interpreter.value(keyword_default, closure)
        environment |= dict(zip(names, given, strict=False))
        accepted = {*names, *(arg.arg for arg in spec.kwonlyargs)}
        environment |= {name: value for name, value in kwargs.items() if name in accepted}
        for name in accepted - environment.keys():
            environment[name] = UNKNOWN
        if spec.vararg:
            environment[spec.vararg.arg] = tuple(given[len(names) :])
        if spec.kwarg:
            environment[spec.kwarg.arg] = {name: value for name, value in kwargs.items() if name not in accepted}
        return environment

    def call_marked(self, target: Marked, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        """Calling something under marks: its closed gates are met first."""
        for mark in target.marks:
            self.world.gates += mark.gates
        return self.interpreter.call(target.target, args, kwargs)

    def run_body(self, body: TestBody) -> None:
        """A decorator calls the test that it wraps."""
        run = self.bodies.pop(body, None)
        if run is not None:
            run()

    # -- gates ---------------------------------------------------------------------------------------------

    def close(self, path: str, line: int, rule: str, part: int = 0, *, is_certain: bool = False) -> None:
        """Note a closed gate; it stands at the site in the test file that led here, if there is one."""
        self.world.gates.append(self.gate(path, line, rule, part, is_certain=is_certain))

    def gate(self, path: str, line: int, rule: str, part: int = 0, *, is_certain: bool = False) -> Gate:
        """A closed gate, for a mark to carry."""
        if self.site is not None and self.site != (path, line):
            file, outer = self.site
            return Gate(file, outer, rule, line * 64 + part, is_certain)
        return Gate(path, line, rule, part, is_certain)

    @contextmanager
    def at(self, path: str, line: int) -> Iterator[None]:
        """Everything inside is put down to this line of the test file."""
        before = self.site, self.asked_before
        if self.site is None:
            self.site, self.asked_before = (path, line), len(self.world.trace)
        try:
            yield
        finally:
            self.site, self.asked_before = before

    # -- statements ----------------------------------------------------------------------------------------

    def block(self, statements: Sequence[Statement], scope: Scope) -> Flow:
        """Run statements in order until one leaves the block."""
        maybe: list[Value] = []
        for statement in statements:
            if self.relevant is not None and id(statement) not in self.relevant:
                continue
            flow = self.statement(statement, scope, maybe)
            if flow is not None:
                return self._joined(flow, maybe)
        return self._joined(None, maybe)

    @staticmethod
    def _joined(flow: Flow, maybe: Sequence[Value]) -> Flow:
        if not maybe:
            return flow
        last = flow.value if isinstance(flow, Return) else None
        same = all(is_known(value) and is_known(last) and value == last for value in maybe)
        return Return(last if same else UNKNOWN)

    def statement(self, statement: Statement, scope: Scope, maybe: list[Value]) -> Flow:
        """Run one statement; `maybe` collects what a branch that may be taken would return."""
        self.interpreter.step()
        if isinstance(statement, ast.If):
            return self._if(statement, scope, maybe)
        run = _STATEMENTS.get(type(statement))
        if run is None:
            self.forget(statement, scope)
            return None
        return run(self, statement, scope)

    def bind(self, statement: Statement, scope: Scope, name: str) -> None:
        """Run a top-level statement for one name that it binds; what it imports beside is left alone."""
        before = self._wanted
        self._wanted = (name, scope.locals[-1])
        try:
            with self.only(None):
                self.statement(statement, scope, [])
        finally:
            self._wanted = before

    def forget(self, statement: Statement, scope: Scope) -> None:
        """
        Whatever the statement binds is no longer known.

        What it imports or defines is taken to be there, and a list that it may lengthen to be as it was.
        """
        if scope.locals:
            environment = scope.locals[-1]
            for inner in flat(statement):
                names = list(bound_names(inner, is_deep=False))
                if isinstance(inner, _DEFINITIONS) and not any(name in environment for name in names):
                    self.define(inner, scope)
                elif not isinstance(inner, _DEFINITIONS):
                    environment |= dict.fromkeys(names, UNKNOWN)

    def define(self, statement: Statement, scope: Scope) -> None:
        """Bind what an import or a definition binds."""
        with contextlib.suppress(HardwareMissingError):
            _STATEMENTS[type(statement)](self, statement, scope)

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Bind a target, which may be a tuple, in the innermost scope."""
        if isinstance(target, ast.Name):
            if scope.locals:
                scope.locals[-1][target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            whole = isinstance(value, (list, tuple)) and len(value) == len(target.elts)
            for position, inner in enumerate(target.elts):
                self.assign(inner, value[position] if whole else UNKNOWN, scope)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, UNKNOWN, scope)
        elif isinstance(target, ast.Attribute):
            owner = self.interpreter.value(target.value, scope)
            if isinstance(owner, Instance):
                owner.attributes[target.attr] = value
        elif isinstance(target, ast.Subscript):
            owner = self.interpreter.value(target.value, scope)
            key = self.interpreter.value(target.slice, scope)
            if isinstance(owner, dict) and isinstance(key, (str, int)):
                owner[key] = value

    def _if(self, statement: ast.If, scope: Scope, maybe: list[Value]) -> Flow:
        met = len(self.world.gates)
        verdict = self.interpreter.truth_of(statement.test, scope)
        if vocabulary.ROCM_AWARE in self.world.gates[met:] and gates.leads_to_skip(statement):
            self.world.gates.append(gates.GATE_AWARE)
        if not isinstance(verdict, Unknown):
            return self.block(statement.body if verdict else statement.orelse, scope)
        guess = None if gates.leads_to_skip(statement) else presume(statement.test)
        if guess is not None:
            met = len(self.world.gates)
            try:
                return self.block(statement.body if guess else statement.orelse, scope)
            except HardwareMissingError:
                return None
            finally:
                del self.world.gates[met:]
        flows = [self._supposed(branch, scope) for branch in (statement.body, statement.orelse)]
        self.forget(statement, scope)
        returned = [flow.value for flow in flows if isinstance(flow, Return)]
        if all(flow is not None for flow in flows):
            return (
                Return(returned[0] if len(returned) == 1 or _all_same(returned) else UNKNOWN) if returned else flows[0]
            )
        maybe += returned
        return None

    def _supposed(self, statements: Sequence[Statement], scope: Scope) -> Flow:
        """What a branch that may be taken would do, without a trace."""
        if not statements or not any(
            isinstance(inner, (ast.Return, ast.Raise, ast.If, ast.Try)) for inner in statements
        ):
            return None
        met = len(self.world.gates)
        copy = Scope(scope.module, *scope.locals[:-1], dict(scope.locals[-1])) if scope.locals else scope
        try:
            return self.block(statements, copy)
        except HardwareMissingError:
            return RAISE
        finally:
            del self.world.gates[met:]

    def _for(self, statement: ast.For, scope: Scope) -> Flow:
        items = self.interpreter.value(statement.iter, scope)
        if isinstance(items, dict):
            items = list(items)
        if not isinstance(items, (list, tuple)) or len(items) > MAX_LOOP:
            for name in target_names(statement.target):
                if scope.locals:
                    scope.locals[-1][name] = UNKNOWN
            self._supposed(statement.body, scope)
            self.forget(statement, scope)
            return None
        for item in list(items):
            self.assign(statement.target, item, scope)
            flow = self.block(statement.body, scope)
            if flow is BREAK:
                return None
            if flow is not None and flow is not CONTINUE:
                return flow
        return self.block(statement.orelse, scope)

    def _with(self, statement: ast.With | ast.AsyncWith, scope: Scope) -> Flow:
        is_quiet = False
        for item in statement.items:
            expression = item.context_expr
            if isinstance(expression, ast.Call) and _RAISING.search(_tail(expression.func)):
                is_quiet = True
            value = self.interpreter.value(expression, scope)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, UNKNOWN if isinstance(value, Marked) else value, scope)
        if not is_quiet:
            return self.block(statement.body, scope)
        self._supposed(statement.body, scope)
        self.forget(statement, scope)
        return None

    def _try(self, statement: ast.Try, scope: Scope) -> Flow:
        met = len(self.world.gates)
        try:
            flow = self.block(statement.body, scope)
            if flow is None:
                flow = self.block(statement.orelse, scope)
        except HardwareMissingError:
            if not statement.handlers:
                self.block(statement.finalbody, scope)
                raise
            del self.world.gates[met:]
            flow = self.block(statement.handlers[0].body, scope)
        return self.block(statement.finalbody, scope) or flow

    def _function(self, statement: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> Flow:
        value: Value = Function(statement, scope.module, scope.locals)
        if scope.locals:
            for decorator in reversed(statement.decorator_list):
                if gates.may_mark(decorator):
                    value = gates.decorated(self, value, decorator, scope)
            scope.locals[-1][statement.name] = value
        return None

    def _class(self, statement: ast.ClassDef, scope: Scope) -> Flow:
        if scope.locals:
            scope.locals[-1][statement.name] = Class(statement, scope.module)
        return None

    def _assign(self, statement: ast.Assign, scope: Scope) -> Flow:
        value = self.interpreter.value(statement.value, scope)
        for target in statement.targets:
            self.assign(target, value, scope)
        return None

    def _annotated(self, statement: ast.AnnAssign, scope: Scope) -> Flow:
        if statement.value is not None:
            self.assign(statement.target, self.interpreter.value(statement.value, scope), scope)
        return None

    def _augmented(self, statement: ast.AugAssign, scope: Scope) -> Flow:
        target = statement.target
        read = ast.copy_location(_as_read(target), target)
        joined = ast.copy_location(ast.BinOp(left=read, op=statement.op, right=statement.value), statement)
        self.assign(target, self.interpreter.value(joined, scope), scope)
        return None

    def _expression(self, statement: ast.Expr, scope: Scope) -> Flow:
        if not isinstance(statement.value, ast.Constant):
            self.interpreter.value(statement.value, scope)
        return None

    def _return(self, statement: ast.Return, scope: Scope) -> Flow:
        return Return(self.interpreter.value(statement.value, scope))

    def _raise(self, statement: ast.Raise, scope: Scope) -> Flow:
        if gates.is_skip_exception(statement.exc):
            self.close(scope.module.path, statement.lineno, "skip-in-body")
            return None
        raise RaisedError(f"raise at {scope.module.path}:{statement.lineno}")

    def _assert(self, statement: ast.Assert, scope: Scope) -> Flow:
        if not _AVAILABILITY_WORD.search(ast.unparse(statement.test)):
            return None  # it is about what the code does
        asked = len(self.world.trace)
        verdict = self.interpreter.truth_of(statement.test, scope)
        if verdict is False and len(self.world.trace) > asked:
            raise RaisedError(f"assert at {scope.module.path}:{statement.lineno}")
        return None

    def _import(self, statement: ast.Import, scope: Scope) -> Flow:
        for alias in statement.names:
            gates.check_import(self, alias.name)
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            module = self.interpreter.project.find(name, scope.module)
            value: Value = ModuleValue(module, name) if module and name not in _SHADOWED else External(name)
            if scope.locals:
                scope.locals[-1][alias.asname or name] = value
        return None

    def _import_from(self, statement: ast.ImportFrom, scope: Scope) -> Flow:
        if not scope.locals:
            return None
        name, environment = self._wanted or ("", None)
        for alias in statement.names:
            bound = alias.asname or alias.name
            if alias.name != "*" and (environment is not scope.locals[-1] or bound == name):
                scope.locals[-1][bound] = self._imported(statement, alias.name, scope)
        return None

    def _imported(self, statement: ast.ImportFrom, name: str, scope: Scope) -> Value:
        source = statement.module or ""
        dotted = f"{source}.{name}"
        if not statement.level:
            gates.check_import(self, source)
            if dotted in vocabulary.DOTTED:
                return self.interpreter.attribute(External(source), name)
        module = self.interpreter.project.find(source, scope.module, statement.level)
        if module is not None:
            found = self.interpreter.module_value(module, name)
            if found is not None or name in module.bindings.names:
                return found
        inner = self.interpreter.project.find(f"{source}.{name}".strip("."), scope.module, statement.level)
        if inner is not None:
            return ModuleValue(inner, dotted if not statement.level else "")
        return self.interpreter.attribute(External(source), name) if source else UNKNOWN

    def _flow(self, statement: Statement, scope: Scope) -> Flow:
        return BREAK if isinstance(statement, ast.Break) else CONTINUE

    def _pass(self, statement: Statement, scope: Scope) -> Flow:
        return None


def _all_same(values: Sequence[Value]) -> bool:
    return all(is_known(value) and value == values[0] for value in values)


def _as_read(target: ast.expr) -> ast.expr:
    return ast.Name(id=target.id, ctx=ast.Load()) if isinstance(target, ast.Name) else ast.Constant(value=...)


def _tail(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_generator(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting += ast.iter_child_nodes(inner)
    return False


_HASHABLE: Final = (bool, int, float, str, type(None))
_DEFINITIONS: Final = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SHADOWED: Final = frozenset({"torch", "sys", "os", "platform", "pytest", "unittest", "jax"})
"""Never taken for a folder of the project that happens to have the name."""
_STATEMENTS: Final[dict[type[ast.stmt], Callable[[Executor, Any, Scope], Flow]]] = {
    ast.For: Executor._for,
    ast.With: Executor._with,
    ast.AsyncWith: Executor._with,
    ast.Try: Executor._try,
    ast.FunctionDef: Executor._function,
    ast.AsyncFunctionDef: Executor._function,
    ast.ClassDef: Executor._class,
    ast.Assign: Executor._assign,
    ast.AnnAssign: Executor._annotated,
    ast.AugAssign: Executor._augmented,
    ast.Expr: Executor._expression,
    ast.Return: Executor._return,
    ast.Raise: Executor._raise,
    ast.Assert: Executor._assert,
    ast.Import: Executor._import,
    ast.ImportFrom: Executor._import_from,
    ast.Break: Executor._flow,
    ast.Continue: Executor._flow,
    ast.Pass: Executor._pass,
    ast.Global: Executor._pass,
    ast.Nonlocal: Executor._pass,
    ast.Delete: Executor._pass,
}
__all__ = ["Executor", "Return", "unmarked"]
