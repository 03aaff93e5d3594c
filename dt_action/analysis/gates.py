"""The rules: every way in which a test keeps itself from machines, each under the name that evidence carries."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dt_action.analysis import decorators, names
from dt_action.analysis.facts import KIND_OF_DEVICE
from dt_action.analysis.phrases import Demand
from dt_action.analysis.syntax import is_skip_call, is_skip_raise, last_word
from dt_action.analysis.values import (
    MARKABLE,
    UNKNOWN,
    External,
    Function,
    Gate,
    HardwareMissingError,
    Mark,
    Param,
    SkippedError,
    Value,
)
from dt_action.analysis.worlds import DOMAINS, World

if TYPE_CHECKING:
    from dt_action.analysis.execution import Executor
    from dt_action.analysis.interpreter import Scope
    from dt_action.analysis.project import SourceModule

Special = Callable[["Executor", ast.Call, "Scope", str], Value]


def skipif(executor: Executor, node: ast.Call, scope: Scope, name: str) -> Value:
    """
    Rule `skipif`: `@pytest.mark.skipif(COND)` and `@unittest.skipIf(COND)` close where COND is true.

    Before: `@pytest.mark.skipif(not torch.cuda.is_available(), reason=...)`. After: the test requires cuda.
    The operands of an `or` are gates of their own, so `not cuda or rocm` both requires and excludes.
    """
    condition = _argument(node, 0, "condition")
    return _mark("skipif", condition, False, executor, node, scope)


def skip_unless(executor: Executor, node: ast.Call, scope: Scope, name: str) -> Value:
    """
    Rule `skipunless`: `@unittest.skipUnless(COND, ...)` closes where COND is false.

    Before: `@unittest.skipUnless(torch.xpu.is_available(), "...")`. After: the test requires xpu.
    """
    return _mark("skipunless", _argument(node, 0, "condition"), True, executor, node, scope)


def skip_mark(executor: Executor, node: ast.Call, scope: Scope, name: str) -> Value:
    """
    Rule `skip`: `@unittest.skip("...")` closes everywhere, whatever hardware its reason names.

    Before: `@unittest.skip("not on MPS")`. After: nothing is required; the case never runs.
    """
    gate = executor.gate(scope.module.path, node.lineno, "skip", is_certain=True)
    target = executor.interpreter.value(node.args[0], scope) if node.args else None
    mark = Mark("skip", (gate,), file=scope.module.path, line=node.lineno)
    if isinstance(target, MARKABLE):
        return executor.interpreter.call(mark, [target], {})
    return mark


def skip_now(executor: Executor, node: ast.Call, scope: Scope, name: str) -> Value:
    """
    Rule `skip-in-body`: a skip that is reached while the module loads, a fixture is set up or the test runs.

    Before: `if not torch.cuda.is_available(): pytest.skip("no GPU")`. After: the test requires cuda.
    """
    executor.close(scope.module.path, node.lineno, "skip-in-body")
    raise SkippedError


def importorskip(executor: Executor, node: ast.Call, scope: Scope, name: str) -> Value:
    """
    Rule `implicit-import`: a package whose import cannot work without its device.

    Before: `cudf = pytest.importorskip("cudf")`, or `import cudf` outside `try`. After: the file requires cuda.
    """
    wanted = executor.interpreter.value(node.args[0], scope) if node.args else UNKNOWN
    if not isinstance(wanted, str):
        return UNKNOWN
    check_import(executor, wanted)
    module = executor.interpreter.project.find(wanted, scope.module)
    return External(wanted) if module is None else UNKNOWN


def parametrize(executor: Executor, node: ast.Call, scope: Scope, name: str) -> Value:
    """
    Rule `param-mark`: a marked row of a parametrisation is gated for that case alone.

    Before: `parametrize("d", ["cpu", pytest.param("cuda", marks=needs_cuda)])`. After: only `[cuda]` requires cuda.
    """
    args, kwargs = _arguments(executor, node, scope)
    kind = "parametrize" if name.startswith("pytest.") else "torch-parametrize"
    return Mark(kind, args=args, kwargs=tuple(kwargs.items()), file=scope.module.path, line=node.lineno)


def param(executor: Executor, node: ast.Call, scope: Scope, name: str) -> Value:
    """`pytest.param(..., marks=..., id=...)`: a row with marks of its own, see `parametrize`."""
    values, given = _arguments(executor, node, scope)
    label = given.get("id")
    marks = marks_of(executor, given.get("marks"), scope.module.path, node.lineno)
    return Param(values, marks, label if isinstance(label, str) else None)


def any_mark(executor: Executor, node: ast.Call, scope: Scope, name: str) -> Value:
    """
    Rule `selection-mark`: a mark that is named after hardware, by which people select tests.

    Before: `@pytest.mark.multi_gpu`. After: the test requires two accelerators.
    """
    args, kwargs = _arguments(executor, node, scope)
    word = name.rpartition(".")[2]
    mark = named_mark(executor, word, scope.module.path, node.lineno)
    if len(args) == 1 and not kwargs and isinstance(args[0], MARKABLE):
        return executor.interpreter.call(mark, args, {})
    return replace(mark, args=args, kwargs=tuple(kwargs.items()))


def named_mark(executor: Executor, word: str, path: str, line: int) -> Mark:
    """The mark `pytest.mark.<word>`, with its gate where the word names hardware."""
    if word == "skip":
        return Mark("skip", (executor.gate(path, line, "skip", is_certain=True),), file=path, line=line)
    demands: tuple[Demand, ...] | None = executor.interpreter.vocabulary.gate(word, "mark")
    if demands is None:
        demand = names.gate_of_mark(word)
        demands = (demand,) if demand else ()
    return decorators.closed(executor, demands, (), {}, path, line, "selection-mark", word)


def decorated(executor: Executor, target: Value, node: ast.expr, scope: Scope) -> Value:
    """
    `target` under one decorator, followed into the decorator's definition where the project has it.

    Rule `helper`: the gate of an imported or local helper, put down to the line of the decorator.
    Before: `@require_non_cpu` over `def require_non_cpu(f): return skipif(torch_device == "cpu")(f)`.
    After: the test requires any accelerator.
    """
    path, line = scope.module.path, node.lineno
    world = executor.world
    with executor.at(path, line), world.noting() as seen:
        try:
            value = executor.interpreter.value(node, scope)
            result = _apply(executor, value, target, node, scope)
        except (HardwareMissingError, SkippedError):
            result = executor.interpreter.call(Mark("helper", (executor.gate(path, line, "helper"),)), [target], {})
        seen.gates_tell_makes |= seen.tells_makes
    return result


def _apply(executor: Executor, value: Value, target: Value, node: ast.expr, scope: Scope) -> Value:
    path, line = scope.module.path, node.lineno
    if isinstance(value, External):
        if value.name.startswith("pytest.mark."):
            value = named_mark(executor, value.name.rpartition(".")[2], path, line)
        else:
            value = decorators.by_name(executor, value.name, (), {}, path, line)
    if isinstance(value, Mark):
        return executor.interpreter.call(value, [target], {})
    if isinstance(value, Function):
        result = executor.interpreter.call(value, [target], {})
        if isinstance(result, MARKABLE):
            return result
        value = UNKNOWN
    if value is UNKNOWN:  # code that does not tell: then by the name
        mark = _by_name_alone(executor, node, scope)
        return executor.interpreter.call(mark, [target], {}) if mark else target
    return target


def _by_name_alone(executor: Executor, node: ast.expr, scope: Scope) -> Mark | None:
    called = node.func if isinstance(node, ast.Call) else node
    word = last_word(called)
    if not word:
        return None
    args, kwargs = _arguments(executor, node, scope) if isinstance(node, ast.Call) else ((), {})
    return decorators.by_name(executor, word, args, kwargs, scope.module.path, node.lineno)


def marks_of(executor: Executor, value: Value, path: str, line: int) -> tuple[Mark, ...]:
    """The marks in a value of `pytestmark` or `marks=`."""
    if isinstance(value, Mark):
        return (value,)
    if isinstance(value, (list, tuple)):
        return tuple(mark for item in value for mark in marks_of(executor, item, path, line))
    if isinstance(value, External) and value.name.startswith("pytest.mark."):
        return (named_mark(executor, value.name.rpartition(".")[2], path, line),)
    if isinstance(value, External):
        made = decorators.by_name(executor, value.name, (), {}, path, line)
        return (made,) if made else ()
    return ()


def closed_parts(
    executor: Executor, condition: ast.expr, is_negated: bool, rule: str, scope: Scope, line: int
) -> tuple[tuple[Gate, ...], bool]:
    """
    The operands of a skip condition that are true here, each a gate of its own.

    Also whether the condition tells AMD's devices from NVIDIA's.
    """
    closed: list[Gate] = []
    world = executor.world
    with world.noting() as seen:
        for part, (expression, negated) in enumerate(_disjuncts(condition, is_negated)):
            asked, looked_up = len(world.trace), executor.interpreter.lookups
            try:
                verdict = executor.interpreter.truth_of(expression, scope)
            except HardwareMissingError:
                verdict = not negated
            before = asked if executor.asked_before is None else executor.asked_before
            is_certain = len(world.trace) == before
            is_constant = executor.interpreter.lookups == looked_up
            if verdict is (not negated) and (not is_certain or is_constant):
                # what is closed everywhere by anything but constants hangs on software, and says nothing of hardware
                closed.append(executor.gate(scope.module.path, line, rule, part, is_certain=is_certain))
    return tuple(closed), seen.tells_makes


def _disjuncts(node: ast.expr, is_negated: bool) -> Iterable[tuple[ast.expr, bool]]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield from _disjuncts(node.operand, not is_negated)
    elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And if is_negated else ast.Or):
        for operand in node.values:
            yield from _disjuncts(operand, is_negated)
    else:
        yield node, is_negated


def _mark(
    rule: str, condition: ast.expr | None, is_negated: bool, executor: Executor, node: ast.Call, scope: Scope
) -> Value:
    if isinstance(condition, ast.Constant) and isinstance(condition.value, str):
        condition = _parsed(condition.value)
    if condition is None:
        return Mark(rule, file=scope.module.path, line=node.lineno)
    gates, tells_makes = closed_parts(executor, condition, is_negated, rule, scope, node.lineno)
    return Mark(rule, gates, tells_makes, file=scope.module.path, line=node.lineno)


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _arguments(executor: Executor, node: ast.Call, scope: Scope) -> tuple[tuple[Value, ...], dict[str, Value]]:
    """What a call is given by position and by name, short of `**kwargs`."""
    value = executor.interpreter.value
    args = tuple(value(arg, scope) for arg in node.args)
    return args, {word.arg: value(word.value, scope) for word in node.keywords if word.arg}


def _argument(node: ast.Call, position: int, word: str) -> ast.expr | None:
    if len(node.args) > position:
        return node.args[position]
    return next((keyword.value for keyword in node.keywords if keyword.arg == word), None)


def check_import(executor: Executor, dotted: str) -> None:
    """Raises HardwareMissingError where the machine lacks what the import of `dotted` cannot do without."""
    devices = executor.interpreter.vocabulary.needed_by_import(dotted)
    if devices is None:
        return
    with executor.world.noting() as seen:
        is_here = devices.are_in(executor.world)
        seen.gates_tell_makes |= seen.tells_makes
    if not is_here:
        raise HardwareMissingError(f"import {dotted}")


def use_device(executor: Executor, node: ast.Call, scope: Scope, function: Value) -> None:
    """
    Rule `device-use`: code that every run of the test reaches, and that fails without the device.

    Before: `x = torch.ones(2, device="cuda")`. After: the test requires cuda. A device that falls back
    (`"cuda" if torch.cuda.is_available() else "cpu"`) is `cpu` on a plain machine and needs nothing.
    """
    wanted = _device_of(node, function)
    if wanted is None:
        return
    interpreter = executor.interpreter
    device = interpreter.settle(interpreter.value(wanted, scope)) if isinstance(wanted, ast.expr) else wanted
    if isinstance(device, str):
        _need_device(executor.world, device)


_NO_DEVICE_USE: Final = ("device", "autocast", "amp", "compile", "load", "distributed", "fx")
"""What of torch takes a device without using it."""


def _device_of(node: ast.Call, function: Value) -> ast.expr | str | None:
    """The expression or the name of the device that a call puts something on."""
    keyword = next((word.value for word in node.keywords if word.arg == "device"), None)
    if isinstance(function, External):
        root, _, rest = function.name.partition(".")
        if function.name == "torch.set_default_device":
            return node.args[0] if node.args else keyword
        return keyword if root == "torch" and not rest.startswith(_NO_DEVICE_USE) else None
    if function is UNKNOWN and isinstance(node.func, ast.Attribute):
        if node.func.attr == "to":
            return node.args[0] if node.args else keyword
        if node.func.attr in ("cuda", "xpu", "npu", "hpu") and len(node.args) <= 1:
            return node.func.attr
    return None


def enter(executor: Executor, node: ast.expr, value: Value) -> None:
    """`with torch.device("cuda"):` puts what is made inside on the device."""
    if executor.uses_devices and isinstance(node, ast.Call) and last_word(node.func) == "device":
        device = executor.interpreter.settle(value)
        if isinstance(device, str):
            _need_device(executor.world, device)


def has_device(world: World, word: str) -> bool:
    """True where the machine has what libraries call by this word; everybody has what is no accelerator."""
    kinds = KIND_OF_DEVICE.get(word)
    return kinds is None or world.has(kinds)


def _need_device(world: World, device: str) -> None:
    word, _, index = device.partition(":")
    if word not in KIND_OF_DEVICE:
        return
    if not has_device(world, word):
        raise HardwareMissingError(f"device {device}")
    if index.isdigit() and 0 < int(index) < 16:
        enough = frozenset(count for count in DOMAINS["count"] if isinstance(count, int) and count > int(index))
        if not world.is_in("count", enough):
            raise HardwareMissingError(f"device {device}")


def leads_to_skip(module: SourceModule, statement: ast.stmt) -> bool:
    """True where something in `statement` skips."""
    return module.note("skips", statement, lambda: _leads_to_skip(module, statement))


def _leads_to_skip(module: SourceModule, statement: ast.stmt) -> bool:
    if not any("skip" in line.lower() for line in module.lines[statement.lineno - 1 : statement.end_lineno]):
        return False
    return any(
        (isinstance(inner, ast.Call) and is_skip_call(inner.func))
        or (isinstance(inner, ast.Raise) and is_skip_raise(inner.exc))
        for inner in ast.walk(statement)
    )


def is_gating(module: SourceModule, statement: ast.stmt) -> bool:
    """True for a statement at the top of a module that may keep the module from loading."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return True
    if isinstance(statement, (ast.If, ast.Try, ast.With, ast.For)):
        return leads_to_skip(module, statement)
    if isinstance(statement, (ast.Expr, ast.Assign)) and isinstance(statement.value, ast.Call):
        return True
    return isinstance(statement, ast.Assert) or (isinstance(statement, ast.Raise) and is_skip_raise(statement.exc))


def may_mark(node: ast.expr) -> bool:
    """True for a decorator that may hold a gate, so that plain ones are not followed."""
    return not (isinstance(node, ast.Name) and node.id in ("staticmethod", "classmethod", "property"))


def by_decorator_name(executor: Executor, node: ast.Call, scope: Scope, name: str) -> Value:
    """A call of a decorator factory that is known by name, such as `RunIf(min_cuda_gpus=2)`."""
    args, kwargs = _arguments(executor, node, scope)
    made = decorators.by_name(executor, name, args, kwargs, scope.module.path, node.lineno)
    if made is not None and len(args) == 1 and isinstance(args[0], MARKABLE):
        return executor.interpreter.call(made, args, {})
    return UNKNOWN if made is None else made


SPECIAL: Final[dict[str, Special]] = {
    "pytest.mark.skipif": skipif,
    "unittest.skipIf": skipif,
    "unittest.case.skipIf": skipif,
    "torch.testing._internal.common_utils.skip_but_pass_in_sandcastle_if": skipif,
    "unittest.skipUnless": skip_unless,
    "unittest.case.skipUnless": skip_unless,
    "torch.testing._internal.common_utils.skip_but_pass_in_sandcastle": skip_mark,
    "pytest.mark.skip": skip_mark,
    "unittest.skip": skip_mark,
    "unittest.case.skip": skip_mark,
    "pytest.skip": skip_now,
    "_pytest.outcomes.skip": skip_now,
    "pytest.importorskip": importorskip,
    "pytest.param": param,
    "pytest.mark.parametrize": parametrize,
    "torch.testing._internal.common_utils.parametrize": parametrize,
    "parameterized.parameterized": parametrize,
    "parameterized.parameterized.expand": parametrize,
}


def special(executor: Executor, name: str) -> Special | None:
    """The rule for a call of something external."""
    found = SPECIAL.get(name)
    if found is not None:
        return found
    if name.startswith("pytest.mark."):
        return any_mark
    word = name.rpartition(".")[2]
    if executor.interpreter.vocabulary.gate(name) is not None:
        return by_decorator_name
    if word in _CONDITIONALS:
        return skipif if _CONDITIONALS[word] else skip_unless
    return by_decorator_name if names.says_something(word) else None


_CONDITIONALS: Final = {
    **dict.fromkeys(("skip_if", "skipif", "skipIf", "skip_when", "skip_test_if"), True),
    **dict.fromkeys(("skip_unless", "skipUnless", "skipunless", "run_if", "run_only_if", "only_if"), False),
}
"""Decorators of any library that are told a condition; True where they skip on it."""
