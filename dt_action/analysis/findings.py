"""What a person should look at in a test file: gates that do not gate, and reasons that say something else."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from dt_action.analysis.project import SourceModule
from dt_action.analysis.syntax import last_word
from dt_action.model.hardware import Evidence, Finding

GATES: Final = ("skipif", "skip", "xfail", "parametrize", "usefixtures", "filterwarnings")
UNITTEST_GATES: Final = ("skip", "skipIf", "skipUnless", "expectedFailure")
_NOT_MISSPELT: Final = frozenset({"skipped", "slow", "skips", "xfails", "skip_ci", "fixtures"})
_OPPOSITES: Final = (
    "not supported on",
    "does not work on",
    "doesn't work on",
    "fails on",
    "unsupported on",
    "broken on",
)
_WANTS: Final = ("requires", "require", "needs", "need", "only on")
_MARK: Final = re.compile(r"\b(mark|unittest)\.(\w+)")
_DEVICES: Final = ("cuda", "rocm", "mps", "xpu", "hpu", "npu", "tpu")


def findings_in(module: SourceModule) -> tuple[Finding, ...]:
    """
    Rules `misspelt-gate` and `reason-contradicts`.

    Before: `@pytest.mark.skipf(cond)`, which skips nothing. After: a warning that asks whether skipif was meant.
    """
    text = module.text
    names = set(_MARK.findall(text))
    has_odd_mark = any(_looks_like(name, GATES if owner == "mark" else UNITTEST_GATES) for owner, name in names)
    lowered = text.lower()
    has_odd_reason = "available" in lowered and any(word in lowered for word in (*_OPPOSITES, *_WANTS))
    return tuple(_all(module)) if has_odd_mark or has_odd_reason else ()


def _all(module: SourceModule) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            meant = _meant(node)
            if meant is not None:
                text = f"{ast.unparse(node)} gates nothing: it is no mark that pytest knows; was {meant} meant?"
                yield _finding(module, node.lineno, "misspelt-gate", text)
        elif isinstance(node, ast.Call):
            text = _contradiction(node)
            if text:
                yield _finding(module, node.lineno, "reason-contradicts", text)


def _finding(module: SourceModule, line: int, rule: str, text: str) -> Finding:
    return Finding(evidence=Evidence(file=module.path, line=line, rule=rule), message=text)


def _meant(node: ast.Attribute) -> str | None:
    """The gate that a name looks like without being it."""
    owner = node.value
    is_mark = last_word(owner) == "mark"
    candidates: tuple[str, ...] = GATES
    if not is_mark:
        if not (isinstance(owner, ast.Name) and owner.id == "unittest" and node.attr.lower().startswith("skip")):
            return None
        candidates = UNITTEST_GATES
    return _looks_like(node.attr, candidates)


@lru_cache(maxsize=4096)
def _looks_like(name: str, candidates: tuple[str, ...]) -> str | None:
    """The gate that a name is probably a slip of."""
    if name in candidates or name == "SkipTest" or name.lower() in _NOT_MISSPELT:
        return None
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.82)
    lowered = {candidate.lower(): candidate for candidate in candidates}
    return lowered.get(name.lower()) or (close[0] if close else None)


def _contradiction(node: ast.Call) -> str:
    """
    A reason that says "not on X" over a condition that skips wherever X is missing.

    Only the plainest case is told: `not is_x_available()` or `not ...x.is_available()` alone.
    """
    name = last_word(node.func)
    if name not in ("skipif", "skipIf", "skipUnless") or not node.args:
        return ""
    reasons = [word.value for word in node.keywords if word.arg == "reason"] + list(node.args[1:2])
    reason = next((r.value for r in reasons if isinstance(r, ast.Constant) and isinstance(r.value, str)), "").lower()
    condition, is_negated = node.args[0], name == "skipUnless"
    while isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not):
        condition, is_negated = condition.operand, not is_negated
    if not reason or not isinstance(condition, ast.Call):
        return ""
    asked = ast.unparse(condition.func).lower()
    if "available" not in asked:
        return ""
    for device in _DEVICES:
        if device not in asked:
            continue
        says_not = any(f"{word} {device}" in reason for word in _OPPOSITES)
        says_needs = any(f"{word} {device}" in reason for word in _WANTS)
        if is_negated and says_not:
            return f"the reason says it is skipped on {device}, the condition skips where {device} is missing"
        if not is_negated and says_needs and not says_not and "missing" not in reason:
            return f"the reason asks for {device}, the condition skips where {device} is there"
    return ""
