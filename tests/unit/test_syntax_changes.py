"""What the change of a Python file changes for the program."""

from __future__ import annotations

import pytest

from dt_action.planning.reach.syntax_changes import difference

BASE = '''"""The module."""
import x

class A(Base):
    """A class."""
    y = 1

    @property
    def p(self):
        return 1

    @p.setter
    def p(self, v):
        def inner(a=1):
            return 2
        self.v = inner()

def f(a, b=2):
    """A function."""
    return lambda: 10

@app.command
def g():
    """Help."""
'''


@pytest.mark.parametrize(
    ("old", "new", "functions"),
    [
        ("return 1\n", "return 3\n", {"A.p"}),
        ("return 2", "return 4", {"A.p.<locals>.inner"}),
        ("a=1", "a=5", {"A.p"}),
        ("lambda: 10", "lambda: 11", {"f"}),
        ("return 2", "def more(): pass\n            return 2", {"A.p.<locals>.inner"}),
        ("self.v = inner()", "self.v = 0", {"A.p"}),
    ],
)
def test_a_change_of_bodies_names_the_functions(old: str, new: str, functions: set[str]) -> None:
    found = difference(BASE.encode(), BASE.replace(old, new).encode())
    assert (found.functions, found.is_whole) == (functions, False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import x", "import z"),
        ("y = 1", "y = 2"),
        ("b=2", "b=3"),
        ("A(Base)", "A"),
        ("@property", "@cached"),
        ("def f(", "async def f("),
        ("return lambda: 10", "yield 10"),
        ("def f(", "def h(): pass\n\ndef f("),
        ("Help.", "Usage."),
        ("A class.", "A class of others."),
        ("return 2", "return ("),
    ],
)
def test_what_runs_at_import_or_shows_from_outside_is_a_change_as_a_whole(old: str, new: str) -> None:
    assert difference(BASE.encode(), BASE.replace(old, new).encode()).is_whole


@pytest.mark.parametrize(("old", "new"), [("import x\n", "import  x  # why\n\n\n"), ("y = 1", "y = (1)")])
def test_layout_and_comments_are_no_change(old: str, new: str) -> None:
    found = difference(BASE.encode(), BASE.replace(old, new).encode())
    assert found.is_silent
    assert not found.has_docs


@pytest.mark.parametrize("doc", ["The module.", "A function."])
def test_docstrings_that_nobody_is_handed_are_told_apart(doc: str) -> None:
    found = difference(BASE.encode(), BASE.replace(doc, "Other.").encode())
    assert found.is_silent
    assert found.has_docs
