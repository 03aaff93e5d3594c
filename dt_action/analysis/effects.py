"""
Which code can close a gate, and what that hangs on: the part of a function that is followed at all.

A look at the words of a statement (`heat`) leaves out most; the syntax tree of the others tells the rest.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from dt_action.analysis import names
from dt_action.analysis.heat import Heat, heat_of
from dt_action.analysis.project import Project, SourceModule
from dt_action.analysis.syntax import (
    FunctionNode,
    Statement,
    blocks_of,
    bound_names,
    changed_names,
    is_skip_call,
    is_skip_raise,
    last_word,
)

_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LEAVING: Final = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_DEVICE_METHODS: Final = frozenset({"cuda", "xpu", "npu", "hpu"})
_DEVICE_PARTS: Final = frozenset({"cuda", "xpu", "npu", "hpu", "mps", "tpu", "xla", "hip", "xla_model"})
_AVAILABILITY: Final = re.compile(r"available|device_count|capability|device_properties|is_(cuda|rocm|hip|gpu)")
"""Words of an assertion that is about the machine, and not about what the code does."""
_MAX_HOPS: Final = 4
Purpose = Literal["gates", "value", "object"]
"""What a function is followed for: to meet its gates, for its value, or for what it sets in `self`, with its gates."""


@dataclass(frozen=True, slots=True)
class Slice:
    """
    The statements of a function that are followed, by id; those in `uses` only for the devices that they use.

    `wanted` are the names that it hangs on, and `can_gate` says whether a gate can be met at all.
    """

    kept: frozenset[int]
    uses: Mapping[int, tuple[ast.Call, ...]]
    wanted: frozenset[str]
    can_gate: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """What a statement by itself can do: use the devices of `calls`, or anything where `is_full`."""

    calls: tuple[ast.Call, ...] = ()
    is_full: bool = False


_NONE: Final = Effect()


class _Part:
    """A statement without its blocks: the statement around it, what it can do and what it binds."""

    __slots__ = ("around", "binds", "effect", "is_hot", "statement")

    def __init__(self, statement: Statement, around: _Part | None, is_hot: bool, effect: Effect) -> None:
        self.statement = statement
        self.around = around
        self.is_hot = is_hot
        self.effect = effect
        self.binds = {*bound_names(statement, is_deep=False), *changed_names(statement), *_attributes(statement)}


class Effects:
    """The effects in the code of one module."""

    def __init__(self, project: Project, module: SourceModule) -> None:
        self._project = project
        self._module = module
        self._heat: Heat = heat_of(module)
        self._methods: dict[str, list[FunctionNode]] | None = None

    def can_gate(self, node: FunctionNode) -> bool:
        """True for a function that can close a gate when it is called."""
        return self.slice(node).can_gate

    def slice(self, node: FunctionNode, purpose: Purpose = "gates") -> Slice:
        """
        The part of a function that is followed: for its gates alone, for its value, too, or for what it sets in `self`.

        Order is left out of account, so more may be kept than need be.
        """
        notes = self._module.notes
        key = (f"slice for {purpose}", id(node))
        known: Slice | None = notes.get(key)
        if known is None:
            notes[key] = _PENDING  # a function that calls itself adds nothing
            known = notes[key] = self._slice(node, purpose)
        return known

    def _slice(self, node: FunctionNode, purpose: Purpose) -> Slice:
        parts: list[_Part] = []
        nested = {
            inner.name: inner for inner in node.body if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        for statement in node.body:
            self._take_apart(statement, None, parts, nested)
        seeds = [part for part in parts if part.effect.is_full or part.effect.calls]
        if not seeds and purpose == "gates" and not any(part.is_hot for part in parts):
            return _NOTHING
        leaving = [part for part in parts if isinstance(part.statement, _LEAVING)]
        hot_leaving = [part for part in leaving if _is_under_hot(part)]
        can_gate = bool(seeds) or any(not isinstance(part.statement, (ast.Break, ast.Continue)) for part in hot_leaving)
        if purpose == "value":
            seeds += [*leaving, *(part for part in parts if _is_yield(part.statement))]
        elif purpose == "object":
            seeds += [*hot_leaving, *(part for part in parts if _attributes(part.statement) and _is_worth(part))]
        elif can_gate:
            seeds += hot_leaving
        return self._closed(parts, seeds, can_gate)

    def _closed(self, parts: list[_Part], seeds: list[_Part], can_gate: bool) -> Slice:
        """The seeds, whatever binds a name that what is kept hangs on, and the statements around them."""
        binders: dict[str, list[_Part]] = {}
        for part in parts:
            for name in part.binds:
                binders.setdefault(name, []).append(part)
        kept: dict[int, _Part] = {}
        wanted: set[str] = set()
        uses: dict[int, tuple[ast.Call, ...]] = {}
        waiting = [(part, not part.effect.is_full and bool(part.effect.calls)) for part in seeds]
        while waiting:
            part, is_use = waiting.pop()
            key = id(part.statement)
            if key in kept and (is_use or key not in uses):
                continue
            kept[key] = part
            if is_use:
                uses[key] = part.effect.calls
                names = {name for call in part.effect.calls for name in _names_in_use(call)}
            else:
                uses.pop(key, None)
                names = _names_in(part.statement)
            if part.around is not None:
                waiting.append((part.around, False))
            for name in names - wanted:
                waiting += [(binder, False) for binder in binders.get(name, ())]
            wanted |= names
        return Slice(frozenset(kept), uses, frozenset(wanted), can_gate)

    def _take_apart(
        self, statement: Statement, around: _Part | None, parts: list[_Part], nested: dict[str, FunctionNode]
    ) -> None:
        is_hot = self._heat.is_hot_head_of(statement)
        effect = self.effect(statement, nested) if is_hot or nested else _NONE
        part = _Part(statement, around, is_hot, effect)
        parts.append(part)
        if not isinstance(statement, _SCOPES):
            for child in blocks_of(statement):
                self._take_apart(child, part, parts, nested)

    # -- one statement -------------------------------------------------------------------------------------

    def effect(self, statement: Statement, nested: dict[str, FunctionNode]) -> Effect:
        """What a statement can do, short of those in its blocks."""
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            return Effect(is_full=self._needs_device(statement))
        if isinstance(statement, ast.Assert):
            return Effect(is_full=asks_availability(self._module, statement))
        if isinstance(statement, ast.Raise) and is_skip_raise(statement.exc):
            return Effect(is_full=True)
        if isinstance(statement, ast.With) and any(_is_device(item.context_expr) for item in statement.items):
            return Effect(is_full=True)
        if isinstance(statement, _SCOPES):
            return _NONE
        uses: list[ast.Call] = []
        for expression in _expressions(statement):
            for node in _walk(expression):
                if isinstance(node, ast.Call):
                    if self._can_gate_by_call(node, nested):
                        return Effect(is_full=True)
                    if _uses_device(node):
                        uses.append(node)
        return Effect(tuple(uses))

    def _needs_device(self, statement: ast.Import | ast.ImportFrom) -> bool:
        if isinstance(statement, ast.ImportFrom):
            return not statement.level and self._project.vocabulary.needed_by_import(statement.module or "") is not None
        return any(self._project.vocabulary.needed_by_import(alias.name) is not None for alias in statement.names)

    def _can_gate_by_call(self, node: ast.Call, nested: dict[str, FunctionNode]) -> bool:
        function = node.func
        if is_skip_call(function):
            return True
        word = last_word(function)
        if isinstance(function, ast.Name):
            if word in nested:
                return self.can_gate(nested[word])
            return self._can_gate_by_name(word, _MAX_HOPS)
        if not isinstance(function, ast.Attribute):
            return False
        if word in self._project.vocabulary.demanding:
            return True
        owner = function.value
        if isinstance(owner, ast.Name) and owner.id in ("self", "cls"):
            methods = self._methods_named(word)
            return any(map(self.can_gate, methods)) if methods else self._heat.is_hot_word(word)
        parts = parts_of(owner)
        if not parts:
            return isinstance(owner, ast.Call) and last_word(owner.func) == "super" and self._heat.is_hot_word(word)
        if not _DEVICE_PARTS.isdisjoint(parts):
            return True
        module = self._module_named(".".join(parts))
        return module is not None and effects_of(self._project, module)._can_gate_by_name(word, _MAX_HOPS - 1)

    def _can_gate_by_name(self, name: str, hops: int) -> bool:
        """Whether calling what the top of the module binds to a name can close a gate."""
        if hops == 0:
            return self._heat.is_hot_word(name)
        for statement in self._module.bindings.names.get(name, ()):
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if self.can_gate(statement):
                    return True
            elif isinstance(statement, ast.ImportFrom):
                if self._can_gate_by_import(statement, name, hops):
                    return True
            elif isinstance(statement, ast.ClassDef):
                made = [inner for inner in statement.body if getattr(inner, "name", "") == "__init__"]
                if any(isinstance(inner, ast.FunctionDef) and self.can_gate(inner) for inner in made):
                    return True
            elif self._heat.is_hot_word(name) and not isinstance(statement, ast.Import):
                return True
        return False

    def _can_gate_by_import(self, statement: ast.ImportFrom, name: str, hops: int) -> bool:
        original = next((alias.name for alias in statement.names if (alias.asname or alias.name) == name), name)
        if not statement.level and f"{statement.module}.{original}" in self._project.vocabulary.names:
            return True
        module = self._project.find(statement.module or "", self._module, statement.level)
        if module is None:
            return original in self._project.vocabulary.demanding or names.says_something(original)
        return effects_of(self._project, module)._can_gate_by_name(original, hops - 1)

    def _methods_named(self, name: str) -> list[FunctionNode]:
        if self._methods is None:
            self._methods = {}
            for statement in self._module.tree.body:
                for inner in statement.body if isinstance(statement, ast.ClassDef) else ():
                    if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        self._methods.setdefault(inner.name, []).append(inner)
        return self._methods.get(name, [])

    def _module_named(self, dotted: str) -> SourceModule | None:
        """The project's module that a name stands for at the top of this one."""
        root, _, rest = dotted.partition(".")
        for statement in self._module.bindings.names.get(root, ()):
            if isinstance(statement, ast.Import):
                alias = next((a for a in statement.names if (a.asname or a.name.partition(".")[0]) == root), None)
                if alias is not None:
                    return self._project.find(alias.name if alias.asname else dotted, self._module)
            if isinstance(statement, ast.ImportFrom) and not rest:
                source = ".".join(filter(None, (statement.module, root)))
                return self._project.find(source, self._module, statement.level)
        return None


_NOTHING: Final = Slice(frozenset(), {}, frozenset(), False)
_PENDING: Final = _NOTHING


def effects_of(project: Project, module: SourceModule) -> Effects:
    """The effects of a module, kept with it."""
    return module.note("effects", module.tree, lambda: Effects(project, module))


def asks_availability(module: SourceModule, statement: ast.Assert) -> bool:
    """True for an assertion that is about the machine."""
    return module.note("availability", statement, lambda: bool(_AVAILABILITY.search(ast.unparse(statement.test))))


def _is_under_hot(part: _Part) -> bool:
    around = part.around
    while around is not None:
        if around.is_hot:
            return True
        around = around.around
    return False


def _is_worth(part: _Part) -> bool:
    """True for an assignment that may bear on hardware, or that is read at no cost."""
    value = getattr(part.statement, "value", None)
    return part.is_hot or isinstance(value, (ast.Constant, ast.Name, ast.Attribute, ast.List, ast.Tuple))


def _is_yield(statement: Statement) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, (ast.Yield, ast.YieldFrom))


def _is_device(node: ast.expr) -> bool:
    """True for the `torch.device("cuda")` of a `with`."""
    return isinstance(node, ast.Call) and last_word(node.func) == "device" and any(map(_may_be_device, node.args))


def _uses_device(node: ast.Call) -> bool:
    """True for a call that may put something on a device: `x.to(d)`, `x.cuda()`, `ones(2, device=d)`."""
    word = last_word(node.func)
    if word == "set_default_device":
        return any(map(_may_be_device, node.args))
    if isinstance(node.func, ast.Attribute):
        if word == "to" and node.args:
            return _may_be_device(node.args[0])
        if word in _DEVICE_METHODS and len(node.args) <= 1:
            return True
    return any(keyword.arg == "device" and _may_be_device(keyword.value) for keyword in node.keywords)


def _may_be_device(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value.partition(":")[0] not in ("cpu", "meta")
    if isinstance(node, ast.Attribute):  # a data type, and the device of another thing
        return not (isinstance(node.value, ast.Name) and node.value.id in ("torch", "tl")) and node.attr != "dtype"
    return True


def _names_in_use(node: ast.Call) -> Iterator[str]:
    """The names that the device of a call hangs on."""
    parts = parts_of(node.func)
    if parts:
        yield parts[0]
    devices = [keyword.value for keyword in node.keywords if keyword.arg == "device"]
    if last_word(node.func) in ("to", "set_default_device") and node.args:
        devices.append(node.args[0])
    for device in devices:
        for inner in _walk(device):
            if isinstance(inner, ast.Name):
                yield inner.id
            elif isinstance(inner, ast.Attribute):
                yield inner.attr


def _names_in(statement: Statement) -> set[str]:
    """The names and attributes in a statement, short of those in its blocks."""
    found: set[str] = set()
    for expression in _expressions(statement):
        for node in _walk(expression):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
    return found


_FIELDS: Final[dict[type[ast.stmt], Callable[[Any], list[ast.expr | None]]]] = {
    ast.Expr: lambda s: [s.value],
    ast.Assign: lambda s: [s.value, *(t for t in s.targets if not isinstance(t, ast.Name))],
    ast.AugAssign: lambda s: [s.target, s.value],
    ast.AnnAssign: lambda s: [s.value],
    ast.Return: lambda s: [s.value],
    ast.If: lambda s: [s.test],
    ast.While: lambda s: [s.test],
    ast.For: lambda s: [s.iter],
    ast.AsyncFor: lambda s: [s.iter],
    ast.With: lambda s: [item.context_expr for item in s.items],
    ast.AsyncWith: lambda s: [item.context_expr for item in s.items],
    ast.Assert: lambda s: [s.test],
    ast.Raise: lambda s: [s.exc],
    ast.Match: lambda s: [s.subject],
}


def _expressions(statement: Statement) -> list[ast.expr]:
    fields = _FIELDS.get(type(statement))
    return [field for field in fields(statement) if field is not None] if fields else []


def _walk(expression: ast.expr) -> Iterator[ast.AST]:
    """As `ast.walk`, in any order, and quicker."""
    waiting: list[Any] = [expression]
    while waiting:
        node = waiting.pop()
        yield node
        for value in node.__dict__.values():
            if isinstance(value, ast.AST):
                waiting.append(value)
            elif type(value) is list:
                waiting += [item for item in value if isinstance(item, ast.AST)]


def parts_of(node: ast.expr) -> list[str]:
    """`a`, `b`, `c` of `a.b.c`; nothing for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def _attributes(statement: Statement) -> set[str]:
    """`self.device = ...` binds `device`."""
    targets = statement.targets if isinstance(statement, ast.Assign) else ()
    return {target.attr for target in targets if isinstance(target, ast.Attribute)}
