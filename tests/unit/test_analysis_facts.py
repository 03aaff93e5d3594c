"""What the interpreter claims to know is what Python says: expressions of every shape, compared with `eval`."""

from __future__ import annotations

import ast
import warnings
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dt_action.analysis.execution import Executor
from dt_action.analysis.interpreter import Budget, BudgetError, Interpreter, Scope
from dt_action.analysis.project import Project
from dt_action.analysis.values import UNKNOWN, HardwareMissingError, Truth, is_known
from dt_action.analysis.worlds import World

ATOMS = st.sampled_from(
    ["0", "1", "2", "-3", "2.5", "600", "True", "False", "None", "''", "'cpu'", "'cuda'", "'cuda:1'", "()", "[]", "{}",
     "unknown", "LIST", "TEXT", "TABLE", "NAMES", "MANY"]
)  # fmt: skip
NAMES: dict[str, Any] = {
    "LIST": [3, 1, 2],
    "TEXT": "cuda:0",
    "TABLE": {"cpu": 1, "cuda": [1, 2]},
    "NAMES": {"cpu", "cuda"},
    "MANY": range(1000),
}
SOURCE = """
import unknown
LIST = [3]
LIST.append(1)
LIST += [2]
TEXT = f"{'cuda'}:{0}"
TABLE = {"cpu": 1, **{"cuda": [1, 2]}}
NAMES = set()
for name in ("cpu", "cuda", "cpu"):
    NAMES.add(name)
MANY = range(1000)
"""


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def form(template: str) -> st.SearchStrategy[str]:
        return st.tuples(*[inner] * template.count("{}")).map(lambda parts: template.format(*parts))

    return st.sampled_from(
        ["({} + {})", "({} - {})", "({} * {})", "({} // {})", "({} % {})", "({} | {})", "({} & {})", "({} << {})",
         "({} == {})", "({} != {})", "({} < {})", "({} >= {})", "({} in {})", "({} not in {})", "({} is None)",
         "({} is not {})", "({} < {} <= {})", "({} and {})", "({} or {})", "(not {})", "(-{})", "({} if {} else {})",
         "[{}]", "[{}, {}]", "[*{}, {}]", "({}, {})", "{{{}}}", "{{{}, {}}}", "{{{}: {}}}", "{}[0]",
         "{}[-1]", "{}[1:]",
         "{}[{}]", "len({})", "min({})", "max({}, {})", "sorted({})", "set({})", "frozenset({})", "list({})",
         "tuple({})", "str({})", "int({})", "bool({})", "any({})", "all({})", "sum({})", "range({})",
         "len({{{}, {}}})",
         "list(range({}))", "dict({})", "abs({})", "({}).count({})", "({}).startswith({})",
         "({}).split(':')", "({}).upper()",
         "({}).get({})", "({}).get({}, {})", "({}).keys()", "list(({}).items())", "({}).copy()",
         "'-'.join({})", "({}).union({})",
         "({}).index({})", "isinstance({}, str)", "isinstance({}, (list, tuple))", "isinstance({}, int)",
         "f'{{TEXT}}{{LIST[0]}}'",
         "[x for x in {}]", "[x for x in {} if x == {}]", "{{x for x in {}}}", "{{x: {} for x in {}}}",
         "list(zip({}, {}))", "list(enumerate({}))", "list(reversed({}))", "(x for x in {})", "reversed({})",
         "len(list({}))", "any(x == {} for x in {})", "sum(1 for x in {})", "list(map(str, {}))", "next(iter({}))"]
    ).flatmap(form)  # fmt: skip


EXPRESSIONS = st.recursive(ATOMS, _grown, max_leaves=8)


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    root = tmp_path_factory.mktemp("project")
    (root / "names.py").write_text(SOURCE)
    return Interpreter(Project(root), World({}), Budget(10**9), Executor)


def claimed(interpreter: Interpreter, text: str) -> Any:
    module = interpreter.project.read("names.py")
    interpreter._steps = 10**6
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            node = ast.parse(text, mode="eval").body
        return interpreter.value(node, Scope(module, {}))
    except (HardwareMissingError, BudgetError):
        return Truth(holds=True)


@settings(max_examples=600)
@given(EXPRESSIONS)
def test_what_is_claimed_is_what_eval_says(interpreter: Interpreter, text: str) -> None:
    found = claimed(interpreter, text)
    if not (is_known(found) or isinstance(found, Truth)) or "unknown" in text:
        return
    try:
        true = python(text)
    except Exception:
        return  # what is claimed holds where the code goes on at all
    if isinstance(found, Truth):
        assert bool(true) is found.holds
    elif isinstance(true, (set, frozenset)) or _has_order(text):
        assert found == true
        assert type(found) is type(true)


def python(text: str, unknown: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return eval(text, {"unknown": unknown, **deepcopy(NAMES)})


@settings(max_examples=200)
@given(EXPRESSIONS, st.sampled_from([1, "cpu", [1], None, True, 2.5, {"cpu"}]))
def test_what_hangs_on_an_unknown_value_is_not_claimed_unless_every_value_gives_it(
    interpreter: Interpreter, text: str, value: Any
) -> None:
    found = claimed(interpreter, text)
    if "unknown" not in text or not is_known(found) or not _has_order(text):
        return
    try:
        true = python(text, value)
    except Exception:
        return  # an import that fails is not our claim
    assert found == true


def _has_order(text: str) -> bool:
    """False where the order of a set, which is nobody's promise, may show."""
    return not any(word in text for word in ("NAMES", "set(", "{x for", "union")) and "{" not in text.replace("{}", "")


def test_a_set_has_no_order_and_each_item_once(interpreter: Interpreter) -> None:
    assert claimed(interpreter, "NAMES == {'cuda', 'cpu'}") is True
    assert claimed(interpreter, "len({'cuda', 'cuda'})") == 1
    assert claimed(interpreter, "{'cpu'} | {'cuda'} == NAMES") is True


def test_a_range_is_known_whole(interpreter: Interpreter) -> None:
    assert claimed(interpreter, "len(range(1000))") == 1000
    assert claimed(interpreter, "range(1000)[-1]") == 999
    assert claimed(interpreter, "999 in MANY") is True


def test_whoever_changes_a_list_of_a_module_no_longer_knows_it(interpreter: Interpreter) -> None:
    assert claimed(interpreter, "[LIST.append(9), LIST][1]") is UNKNOWN
    interpreter.changed.clear()
    assert claimed(interpreter, "LIST") == [3, 1, 2]
