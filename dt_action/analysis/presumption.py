"""What a condition on software or the environment usually is, where only a value hangs on it and no skip."""

from __future__ import annotations

import ast
import re
from typing import Final

from dt_action.analysis.names import KIND_WORDS, words_of
from dt_action.analysis.syntax import last_word

_SOFTWARE: Final = re.compile(
    r"^_*(is|has)_\w*(available|installed)|^_*(has|have)_|(available|installed)$", re.IGNORECASE
)

_NEWER: Final = re.compile(r"greater|higher|at_least|or_later|orlater|newer|_ge_|_plus$|_gte?_", re.IGNORECASE)
_OLDER: Final = re.compile(r"less_than|lower_than|older|_lte?_|_below_", re.IGNORECASE)


def presume(node: ast.expr) -> bool | None:
    """
    True for "it is installed" and "it is new enough", False for "the variable is set"; None for anything else.

    Before: `if "TEST_DEVICE" in os.environ: device = os.environ["TEST_DEVICE"]`, then `else: device = find()`.
    After: `device` is taken for what `find()` gives.
    """
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = presume(node.operand)
        return None if inner is None else not inner
    if isinstance(node, ast.BoolOp):
        guesses = [presume(value) for value in node.values]
        is_or = isinstance(node.op, ast.Or)
        if is_or in guesses:
            return is_or
        return None if None in guesses else not is_or
    text = ast.unparse(node)
    if "environ" in text or "getenv" in text:
        return False
    if isinstance(node, ast.Compare):
        return _presume_version(node, text)
    called = node.func if isinstance(node, ast.Call) else node
    word = last_word(called)
    if _NEWER.search(word):
        return True
    if _OLDER.search(word):
        return False
    names_hardware = any(part in KIND_WORDS for part in words_of(word))
    return True if _SOFTWARE.search(word) and not names_hardware else None


def _presume_version(node: ast.Compare, text: str) -> bool | None:
    if "version" not in text.lower():
        return None
    if isinstance(node.ops[0], (ast.Gt, ast.GtE)):
        return True
    return False if isinstance(node.ops[0], (ast.Lt, ast.LtE)) else None
