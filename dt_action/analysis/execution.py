"""Runs calls and blocks of statements on one imagined machine, and notes the gates that are met on the way."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from dt_action.analysis import gates
from dt_action.analysis.builtin_calls import MUTATORS
from dt_action.analysis.conftest_options import default_of
from dt_action.analysis.effects import Slice, effects_of, parts_of
from dt_action.analysis.generated import Registry
from dt_action.analysis.interpreter import MAX_DEPTH, Interpreter, Scope
from dt_action.analysis.statements import STATEMENTS, Flow, Return, run_if
from dt_action.analysis.syntax import FunctionNode, Statement, bound_names, flat, is_generator, last_word
from dt_action.analysis.values import (
    UNKNOWN,
    Env,
    External,
    Function,
    Gate,
    HardwareMissingError,
    Instance,
    Mark,
    Marked,
    SkippedError,
    TestBody,
    Unknown,
    Value,
    are_same,
    is_known,
)
from dt_action.analysis.worlds import Memory

SHORT_FUNCTION: Final = 4
"""Statements up to which a function is followed whole."""
PREDICATE: Final = re.compile(
    r"^_*(is|has|have|can|num|get|support|use|infer|check|require|need|skip|should|must|only|run|maybe|mark|device|"
    r"available|count|accelerat|backend|detect|torch_device|cuda|gpu|rocm|hip|mps|xpu|hpu|npu|tpu|sm_?\d)",
    re.IGNORECASE,
)
"""Functions of the project's own library that are read: those whose names say that they answer or gate."""
AVAILABILITY: Final = re.compile(r"^_*((is|has|have|can|supports?)_|(is|has|can)[A-Z])|available", re.IGNORECASE)
"""Predicates: one that asked about hardware, and had no definite no, is a yes. What is installed is taken to work."""
_HASHABLE: Final = (bool, int, float, str, type(None))
_DEFINITIONS: Final = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Executor:
    """
    The statements' side of an `interpreter`. Gates that are met are noted in its world, and passed through.

    `site` is the line of the test file that gates are put down to, and `asked_before` how much had been asked of the
    machine when it was reached. `bodies` are the tests that a decorator may call. `wanted` is the one name, and where
    it is bound, that a top-level statement is run for. `uses_devices` tells that code which uses a device counts,
    `part` which statements are followed (None for all). `goes_on` follows a test beyond gates that are closed.
    `registry` takes the tests that a module makes while it loads, where those are asked for.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.world = interpreter.world
        self.site: tuple[str, int] | None = None
        self.bodies: dict[TestBody, Callable[[], None]] = {}
        self.asked_before: int | None = None
        self.wanted: tuple[str, Env] | None = None
        self.uses_devices = True
        self.part: Slice | None = None
        self.goes_on = False
        self.registry: Registry | None = None

    # -- calls ---------------------------------------------------------------------------------------------

    def call_node(self, node: ast.Call, scope: Scope) -> Value:
        """What a call expression gives."""
        interpreter = self.interpreter
        function = interpreter.value(node.func, scope)
        if isinstance(function, External):
            special = gates.special(self, function.name)
            if special is not None:
                return special(self, node, scope, function.name)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "skipTest":
            self.close(scope.module.path, node.lineno, "skip-in-body")
            raise SkippedError
        args, kwargs = self._arguments_of(node, scope)
        if self.registry is not None and isinstance(function, (External, Unknown)):
            self.registry.add_by_name(last_word(node.func), args, kwargs)
        if function is UNKNOWN and isinstance(node.func, ast.Attribute):
            found = self._out_of_reach(node.func.attr, args, kwargs, scope)
            if found is not None:
                return found
        if self.uses_devices:
            gates.use_device(self, node, scope, function)
        if isinstance(function, Function) and not self._may_follow(function, scope, args):
            answer = interpreter.vocabulary.answer(getattr(function.node, "name", ""))
            return answer(self.world, args, kwargs) if answer is not None else UNKNOWN
        if isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            self._note_change(node.func.value, scope)
        return interpreter.call(function, args, kwargs)

    def _arguments_of(self, node: ast.Call, scope: Scope) -> tuple[list[Value], dict[str, Value]]:
        """What a call is given by position and by name, spread out."""
        value = self.interpreter.value
        args: list[Value] = []
        for arg in node.args:
            found = value(arg, scope)
            if isinstance(arg, ast.Starred):
                args += found if isinstance(found, (list, tuple)) else [UNKNOWN]
            else:
                args.append(found)
        kwargs: dict[str, Value] = {}
        for keyword in node.keywords:
            found = value(keyword.value, scope)
            if keyword.arg is not None:
                kwargs[keyword.arg] = found
            elif isinstance(found, dict):
                kwargs.update({str(name): inner for name, inner in found.items()})
        return args, kwargs

    def _out_of_reach(self, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], scope: Scope) -> Value:
        """What a method of something that is not known gives, by its name; None where that says nothing."""
        if name == "getoption":
            is_text = bool(args) and isinstance(args[0], str)
            return default_of(self.interpreter, args[0], scope.module) if is_text else UNKNOWN
        answer = self.interpreter.vocabulary.answer(name)
        return None if answer is None else answer(self.world, args, kwargs)

    def _note_change(self, owner: ast.expr, scope: Scope) -> None:
        """A container of a module is given to everybody as a copy: whoever changes it no longer knows it."""
        if isinstance(owner, ast.Name) and not any(owner.id in environment for environment in scope.locals):
            self.interpreter.changed.add((scope.module.path, owner.id))

    def _may_follow(self, function: Function, scope: Scope, args: Sequence[Value]) -> bool:
        if function.module is scope.module or isinstance(function.node, ast.Lambda):
            return True
        if any(isinstance(arg, (Marked, TestBody)) for arg in args):
            return True
        if self.registry is not None:
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
                is_whole=lambda: self.interpreter.cuts == before,
                remembered=(HardwareMissingError, SkippedError),
            )
        finally:
            self.interpreter.depth -= 1

    def _memory_of(self, function: Function, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Memory | None:
        """Where calls of a top-level function with the same constants are remembered."""
        if function.closure or function.owner is not None or self.registry is not None:
            return None
        if not all(isinstance(value, _HASHABLE) for value in (*args, *kwargs.values())):
            return None
        given = tuple((type(value), value) for value in args)
        key = (self.site, self.uses_devices, given, tuple(sorted((k, type(v), v) for k, v in kwargs.items())))
        known: dict[object, Memory] = function.module.note("calls", function.node, dict)
        memory = known.get(key)
        if memory is None:
            memory = known[key] = Memory(are_same)
        return memory

    def _run_function(
        self, node: FunctionNode, scope: Scope, args: Sequence[Value], kwargs: Mapping[str, Value]
    ) -> Value:
        if scope.module.note("generator", node, lambda: is_generator(node)):
            return UNKNOWN
        is_predicate = bool(AVAILABILITY.match(node.name))
        answer = self.interpreter.vocabulary.answer(node.name)
        asked = len(self.world.trace)
        is_long = len(node.body) > SHORT_FUNCTION and self.registry is None
        try:
            effects = effects_of(self.interpreter.project, scope.module)
            with self.only(effects.slice(node, "value") if is_long else None):
                flow = self.block(node.body, scope)
        except HardwareMissingError:
            if not is_predicate:
                raise
            flow = Return(UNKNOWN if answer else False)
        value = flow.value if isinstance(flow, Return) else None
        if value is not UNKNOWN:
            return value
        if answer is not None:  # code that does not tell: then by the name
            return answer(self.world, args, kwargs)
        return True if is_predicate and len(self.world.trace) > asked else UNKNOWN

    @contextmanager
    def only(self, part: Slice | None) -> Iterator[None]:
        """Run only these statements inside; None for all."""
        before = self.part
        self.part = part
        try:
            yield
        finally:
            self.part = before

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
            self.meet(mark)
        return self.interpreter.call(target.target, args, kwargs)

    def meet(self, mark: Mark) -> None:
        """Meet the gates of a mark that are closed here."""
        self.world.notes.gates += mark.gates
        self.world.notes.gates_tell_makes |= mark.tells_makes

    def run_body(self, body: TestBody) -> None:
        """A decorator calls the test that it wraps."""
        run = self.bodies.pop(body, None)
        if run is not None:
            run()

    # -- gates ---------------------------------------------------------------------------------------------

    def close(self, path: str, line: int, rule: str, part: int = 0, *, is_certain: bool = False) -> None:
        """Note a closed gate; it stands at the site in the test file that led here, if there is one."""
        self.world.notes.gates.append(self.gate(path, line, rule, part, is_certain=is_certain))

    def fail(self, path: str, line: int, rule: str) -> None:
        """
        Note that the code fails here for want of hardware. Raises SkippedError, since it ends there.

        Where `goes_on` is set it does not.
        """
        self.close(path, line, rule)
        if not self.goes_on:
            raise SkippedError

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
            if self.part is not None and id(statement) not in self.part.kept:
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
        if self.part is not None and id(statement) in self.part.uses:
            self._use_devices(self.part.uses[id(statement)], scope)
            return None
        if isinstance(statement, ast.If):
            return run_if(self, statement, scope, maybe)
        run = STATEMENTS.get(type(statement))
        if run is None:
            self.forget(statement, scope)
            return None
        return run(self, statement, scope)

    def _use_devices(self, calls: Sequence[ast.Call], scope: Scope) -> None:
        """Of a statement on which nothing else hangs, only the devices that it uses."""
        if not self.uses_devices:
            return
        for call in calls:
            is_chain = bool(parts_of(call.func))
            gates.use_device(self, call, scope, self.interpreter.value(call.func, scope) if is_chain else UNKNOWN)

    def bind(self, statement: Statement, scope: Scope, name: str) -> None:
        """Run a top-level statement for one name that it binds; what it imports beside is left alone."""
        before = self.wanted
        self.wanted = (name, scope.locals[-1])
        try:
            with self.only(None):
                self.statement(statement, scope, [])
        finally:
            self.wanted = before

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
        with contextlib.suppress(HardwareMissingError, SkippedError):
            STATEMENTS[type(statement)](self, statement, scope)

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Bind a target, which may be a tuple, in the innermost scope."""
        if isinstance(target, ast.Name):
            scope.bind(target.id, value)
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
            if self.registry is not None and _is_namespace(target.value):
                self.registry.add(None, self.interpreter.value(target.slice, scope))
            owner = self.interpreter.value(target.value, scope)
            key = self.interpreter.value(target.slice, scope)
            if isinstance(owner, dict) and isinstance(key, (str, int)):
                owner[key] = value
            elif isinstance(owner, list) and isinstance(value, (list, tuple)) and _is_whole(target.slice):
                owner[:] = value


def _is_namespace(node: ast.expr) -> bool:
    """True for the `globals()` of `globals()["TestFast"] = ...`."""
    return isinstance(node, ast.Call) and last_word(node.func) in ("globals", "vars", "locals")


def _is_whole(node: ast.expr) -> bool:
    """True for the `:` of `items[:]`."""
    return isinstance(node, ast.Slice) and node.lower is node.upper is node.step is None
