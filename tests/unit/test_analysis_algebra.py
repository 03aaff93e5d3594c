"""The inferred set equals the truth table's, for gates of any shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dt_action.analysis import StaticAnalyzer
from dt_action.analysis.worlds import ACCELERATOR_KINDS, DOMAINS, PLAIN, Memory, World, explore, worlds_of
from dt_action.model.case import TestFile
from dt_action.model.hardware import Requirement

ATOMS: dict[str, Callable[[str], bool]] = {
    "torch.xpu.is_available()": lambda kind: kind == "xpu",
    "torch.backends.mps.is_available()": lambda kind: kind == "mps",
    "torch.hpu.is_available()": lambda kind: kind == "hpu",
    "torch.npu.is_available()": lambda kind: kind == "npu",
    "is_torch_xla_available()": lambda kind: kind == "tpu",
    "torch.version.hip is not None": lambda kind: kind == "rocm",
    "torch.version.cuda is not None": lambda kind: kind == "cuda",
    "torch.accelerator.is_available()": lambda kind: kind != PLAIN,
    "False": lambda kind: False,
}
Gate = tuple[str, Callable[[str], bool]]
EXPRESSIONS: st.SearchStrategy[Gate] = st.recursive(
    st.sampled_from(sorted(ATOMS)).map(lambda text: (text, ATOMS[text])),
    lambda inner: st.one_of(
        inner.map(lambda gate: (f"not ({gate[0]})", lambda kind: not gate[1](kind))),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]}) and ({two[1][0]})", lambda kind: two[0][1](kind) and two[1][1](kind))
        ),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]}) or ({two[1][0]})", lambda kind: two[0][1](kind) or two[1][1](kind))
        ),
    ),
    max_leaves=8,
)


def infer(source: str) -> Requirement:
    with TemporaryDirectory() as folder:
        (Path(folder) / "test_it.py").write_text(source)
        found = StaticAnalyzer(root=Path(folder)).analyze([TestFile(path="test_it.py")])
    return found["test_it.py"].of("test_x")


def admitted(requirement: Requirement) -> frozenset[str]:
    """The machines, by their accelerator, that a requirement admits."""
    kinds = {PLAIN, *ACCELERATOR_KINDS}
    for clause in requirement.all_of:
        named = {need.kind for need in clause.any_of}
        kinds &= set(ACCELERATOR_KINDS) if "gpu" in named else named
    return frozenset(kinds - requirement.excludes)


@settings(max_examples=120)
@given(EXPRESSIONS)
def test_the_inferred_set_is_the_truth_tables(gate: Gate) -> None:
    text, holds = gate
    source = f"import pytest, torch\nfrom x import is_torch_xla_available\n\n@pytest.mark.skipif({text}, reason='')\n"
    found = infer(source + "def test_x(): pass\n")
    runs = frozenset(kind for kind in (PLAIN, *ACCELERATOR_KINDS) if not holds(kind))
    if runs:
        assert admitted(found) == runs
    else:
        assert found.needs_nothing  # it never runs anywhere: no machine is asked for


@settings(max_examples=60)
@example(("torch.hpu.is_available()", ATOMS["torch.hpu.is_available()"]), ("not (False or False)", lambda kind: True))
@example(
    ("is_torch_xla_available()", ATOMS["is_torch_xla_available()"]),
    ("not torch.accelerator.is_available()", lambda kind: kind == PLAIN),
)
@example(
    ("torch.xpu.is_available()", ATOMS["torch.xpu.is_available()"]),
    ("not (False and torch.hpu.is_available())", lambda kind: True),
)
@given(EXPRESSIONS, EXPRESSIONS)
def test_two_gates_are_their_conjunction(one: Gate, other: Gate) -> None:
    head = "import pytest, torch\nfrom x import is_torch_xla_available\n\n"
    stacked = infer(
        f"{head}@pytest.mark.skipif({one[0]}, reason='')\n@pytest.mark.skipif({other[0]}, reason='')\n"
        "def test_x(): pass\n"
    )
    runs = frozenset(kind for kind in (PLAIN, *ACCELERATOR_KINDS) if not one[1](kind) and not other[1](kind))
    assert admitted(stacked) == runs or (not runs and stacked.needs_nothing)


QUESTIONS = st.lists(
    st.tuples(st.sampled_from(["accelerator", "platform", "count"]), st.integers(1, 254)), min_size=1, max_size=6
)


@given(QUESTIONS)
def test_questions_split_the_machines_into_parts_that_answer_alike(questions: list[tuple[str, int]]) -> None:
    asked = [
        (axis, frozenset(value for place, value in enumerate(DOMAINS[axis]) if bits >> place & 1))
        for axis, bits in questions
    ]
    parts = explore(lambda world: [world.is_in(axis, values) for axis, values in asked])
    for possible, answers in parts:
        for (axis, values), answer in zip(asked, answers, strict=True):
            assert (possible[axis] <= values) if answer else possible[axis].isdisjoint(values)
    whole = {
        (kind, platform, count)
        for possible, _ in parts
        for kind in possible.get("accelerator", DOMAINS["accelerator"])
        for platform in possible.get("platform", DOMAINS["platform"])
        for count in possible.get("count", DOMAINS["count"])
    }
    valid = {
        (kind, platform, count)
        for kind in DOMAINS["accelerator"]
        for platform in DOMAINS["platform"]
        for count in DOMAINS["count"]
        if kind == PLAIN or (kind == "mps") == (platform == "darwin")
    }
    assert valid <= whole


AXES = st.lists(st.sampled_from(["accelerator", "platform", "webgpu", "browser"]), max_size=5)


@given(AXES)
def test_exploring_visits_every_machine_once(axes: list[str]) -> None:
    seen = [
        tuple(sorted((axis, str(set(values))) for axis, values in possible.items())) for possible in worlds_of(axes)
    ]
    assert len(seen) == len(set(seen))


@given(st.lists(AXES, min_size=1, max_size=4))
def test_what_is_remembered_is_what_would_be_computed(questions: list[list[str]]) -> None:
    memory = Memory()

    def answer(world: World) -> tuple[object, ...]:
        first = world.value(questions[0][0]) if questions[0] else None
        rest = questions[hash(str(first)) % len(questions)]
        return (first, *(world.value(axis) for axis in rest))

    remembered = explore(lambda world: memory.recall(world, lambda: answer(world)))
    again = explore(lambda world: memory.recall(world, lambda: answer(world)))
    computed = explore(answer)
    assert sorted(map(repr, remembered)) == sorted(map(repr, computed)) == sorted(map(repr, again))
