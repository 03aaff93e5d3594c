"""Takes secrets out of everything that is told of a run, before anything is cut or written."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import quote

from dt_action.model.case import MASK, TestResult
from dt_action.model.run import Run
from dt_action.options import USER_INFO
from dt_action.reports.formats.text import strip_ansi

_SHORTEST_SECRET = 4  # masking shorter ones would mask ordinary text
_SHORTEST_LINE = 8  # of a secret of many lines: `}` or `-----` alone must not be masked everywhere


_KEY_SHAPED = {
    r"gh[pousr]_[A-Za-z0-9]{36,255}": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    r"github_pat_[A-Za-z0-9_]{22,255}": ("github_pat_",),
    r"gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent|oas)-[A-Za-z0-9_.=-]{20,300}": (
        *("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glsoat-", "glft-", "glimt-", "glagent-", "gloas-"),
    ),
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b": ("AKIA", "ASIA"),
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}": ("xox",),
    r"\bsk-(?:proj-|ant-[a-z0-9]{2,12}-)?[A-Za-z0-9_-]{32,255}": ("sk-",),
    r"\b[sr]k_live_[A-Za-z0-9]{16,255}": ("k_live_",),
    r"\bhf_[A-Za-z0-9]{30,64}\b": ("hf_",),
    r"\bpypi-AgE[A-Za-z0-9_-]{50,1000}": ("pypi-AgE",),
    r"\bnpm_[A-Za-z0-9]{36}\b": ("npm_",),
    r"\bAIza[A-Za-z0-9_-]{35}": ("AIza",),
    r"\beyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{10,2000}": (".eyJ",),
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]{0,20000}?"
    r"(?:-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)": ("-----BEGIN ",),
}
"""
The shapes that issuers document for their tokens, each with the words of which one stands in every such token:
looking for words first makes clean text cheap. Lengths are bounded, so that hostile text stays cheap too.
"""

_SURROGATE = re.compile("[\ud800-\udfff]")
_RESULTS_AT_ONCE = 200

T = TypeVar("T")


class Redactor:
    """Masks literal secrets in all the forms in which they leak, and strings shaped like a key."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        literals = [re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form))]
        self._hints = (*sorted(forms), "://", *(word for words in _KEY_SHAPED.values() for word in words))
        self._source = _source([*literals, USER_INFO])
        self._id_source = _source(literals)

    def text(self, text: str) -> str:
        """
        `text` with every secret replaced by `***`, and every lone surrogate, which no service takes, by `\ufffd`.

        Behind the mask of what has only the shape of a key stand four digits: a project that looks for keys has many
        tests whose names hold one, and those are to stay apart, in this report and in those of other jobs. Colours may
        stand in the middle of a secret; where they do, the text loses them.
        """
        return self._replaced(text, self._source)

    def id(self, text: str) -> str:
        """
        A test's id: a user and password that merely look like ones stay in it.

        An id that is changed is another test: nothing finds it again, and two may become one. Those addresses that
        the environment holds are among the literal secrets (`secret_values`).
        """
        return self._replaced(text, self._id_source)

    def _replaced(self, text: str, source: str) -> str:
        if not self._is_suspicious(text):
            return text
        pattern = _compiled(source)  # not earlier: it takes longer than reporting a small run
        masked = _SURROGATE.sub("\ufffd", pattern.sub(_mask, text))
        bare = strip_ansi(masked)
        return pattern.sub(_mask, bare) if bare is not masked and pattern.search(bare) else masked

    def run(self, run: Run) -> Run:
        """The run with every string in it masked. Clean results, which are most, are shared with the old run."""
        results: list[TestResult] = []
        ids = frozenset(result.case.id for result in run.results)
        for start in range(0, len(run.results), _RESULTS_AT_ONCE):
            some = run.results[start : start + _RESULTS_AT_ONCE]
            results += (self.value(one, ids) for one in some) if self._is_suspicious(_words_of(some)) else some
        rest = self.value(replace(run, results=()), ids)
        return replace(rest, results=tuple(results))

    def _is_suspicious(self, text: str) -> bool:
        if not text.isascii() and _SURROGATE.search(text):
            return True
        bare = strip_ansi(text)
        return any(hint in text for hint in self._hints) or (
            bare is not text and any(hint in bare for hint in self._hints)
        )

    def value(self, value: T, ids: Collection[str] = ()) -> T:
        """
        The same dataclass (or tuple, list, dict, set) with every string in it masked; shared where nothing was.

        Strings among `ids` are ids of tests.
        """
        masked: T = self._masked(value, ids)
        return masked

    def _masked(self, value: Any, ids: Collection[str]) -> Any:
        if isinstance(value, str):
            return self.id(value) if value in ids else self.text(value)
        if value is None or isinstance(value, (int, float, bytes)):
            return value
        if isinstance(value, dict):
            return {self._masked(key, ids): self._masked(item, ids) for key, item in value.items()}
        if isinstance(value, (tuple, list, frozenset, set)):
            items = [self._masked(item, ids) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else type(value)(items)
        if is_dataclass(value) and not isinstance(value, type):
            changed = {}
            for name in _field_names(type(value)):
                old = getattr(value, name)
                new = self._masked(old, ids)
                if new is not old:
                    changed[name] = new
            return replace(value, **changed) if changed else value
        return value


_compiled = lru_cache(maxsize=8)(re.compile)


def _source(secret: Sequence[str]) -> str:
    """A pattern of what is secret, or has the shape of a key."""
    return "|".join([f"(?P<secret>{'|'.join(secret) or '(?!)'})", *_KEY_SHAPED])


def _mask(match: re.Match[str]) -> str:
    if match["secret"] is not None:
        return MASK
    return MASK + hashlib.sha256(match[0].encode("utf-8", "replace")).hexdigest()[:4]


_names_by_type: dict[type, tuple[str, ...]] = {}


def _field_names(kind: Any) -> tuple[str, ...]:
    names = _names_by_type.get(kind)
    if names is None:
        names = _names_by_type[kind] = tuple(field.name for field in fields(kind))
    return names


def _words_of(results: Iterable[TestResult]) -> str:
    """Every string in the results. One requirement is shared by many cases, so each is written out once."""
    words: list[str] = []
    requirements = {}
    for result in results:
        case = result.case
        words += (case.id, case.file, case.test_type, *case.markers, result.environment)
        words += (word for artifact in result.artifacts for word in (artifact.name, artifact.path))
        requirements[id(case.requirement)] = case.requirement
        for attempt in result.attempts:
            words += (attempt.worker, attempt.slot, attempt.message, attempt.detail, attempt.stdout, attempt.stderr)
            words += (word for item in attempt.properties for word in (item.name, item.value))
    words += map(repr, requirements.values())
    return "\0".join(words)


def _forms(secret: str) -> set[str]:
    """The secret itself, its lines, and what it looks like inside base64, a URL, JSON and Python's repr."""
    secret = secret.strip("\r\n")
    if len(secret.strip()) < _SHORTEST_SECRET:
        return set()
    raw = secret.encode("utf-8", "surrogatepass")
    forms = {secret, secret.strip(), quote(secret, safe=""), quote(secret)}
    forms |= {line.strip() for line in secret.splitlines() if "\n" in secret and len(line.strip()) >= _SHORTEST_LINE}
    forms |= {secret.replace("\n", "\\n"), secret.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')}
    for offset in range(3) if len(raw) >= _SHORTEST_LINE else ():
        forms |= set(_base64_forms(raw, offset))
    return {form for form in forms if form}


def _base64_forms(raw: bytes, offset: int) -> Iterable[str]:
    """The characters that `raw` gives inside a longer base64 text in which it begins at `offset` modulo 3."""
    whole = base64.b64encode(b"\0" * offset + raw).decode("ascii").rstrip("=")
    first = (0, 2, 3)[offset]
    last = len(whole) - (1 if (offset + len(raw)) % 3 else 0)
    inner = whole[first:last]
    yield inner
    yield inner.replace("+", "-").replace("/", "_")
