"""What people say outright: the mark `dt`, the pragma `# dt:` and path rules, in one small grammar."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dt_action.analysis.project import SourceModule
from dt_action.analysis.values import Mark
from dt_action.errors import ConfigurationError
from dt_action.model.hardware import (
    DEVICE_KINDS,
    NOTHING,
    PLATFORMS,
    Clause,
    DeviceNeed,
    Evidence,
    Finding,
    Requirement,
)

FIELDS: Final = ("requires", "memory", "browser", "platform", "labels", "timeout", "exclusive", "priority")
_UNITS: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SECONDS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_PRAGMA: Final = re.compile(r"#\s*dt:\s*(?P<body>.+)")
_DEVICE: Final = re.compile(r"(?P<kind>[a-z]+)\s*(?:\[(?P<inside>[^\]]*)\])?\s*(?:>=\s*(?P<count>\d+))?")
BROWSERS: Final = frozenset({"any", "chrome", "chromium", "firefox", "webkit", "safari", "edge"})


class GrammarError(Exception):
    """A field that cannot be read: what was expected and what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The fields that one mark, pragma or path rule gives, not yet read, and where they stand."""

    fields: Mapping[str, Any]
    file: str
    line: int
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRule:
    """Configuration for the files that `pattern`, a glob relative to the root, names: `**/gpu/*.py`."""

    pattern: str
    fields: Mapping[str, Any]
    source: str = "configuration"

    def matches(self, path: str) -> bool:
        """True for a path that the pattern names; `**` spans folders, `*` does not."""
        parts = re.split(r"(\*\*/|\*\*|\*|\?)", self.pattern)
        known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        return re.fullmatch("".join(known.get(part, re.escape(part)) for part in parts), path) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pragmas:
    """The pragmas of a file: those for all of it, and by the line of the test or class that they speak for."""

    whole: tuple[Statement, ...] = ()
    by_line: Mapping[int, tuple[Statement, ...]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def path_rules(table: Mapping[str, str], source: str = "configuration") -> tuple[PathRule, ...]:
    """
    Rules of a table from globs to what a pragma says: `{"tests/gpu/**": "requires cuda>=2; exclusive license"}`.

    Raises ConfigurationError for every text that cannot be read, all at once.
    """
    rules, problems = [], []
    for pattern, body in table.items():
        try:
            fields = _read_pragma(body)
            read_fields(fields, Evidence(file=source, line=1, rule="path-rule"))
        except GrammarError as error:
            hint = f'write needs = {{ "{pattern}" = "requires cuda" }}; docs/analysis.md has all fields'
            problems.append(ConfigurationError(f"needs of {pattern!r}: {error}", hint=hint))
            continue
        rules.append(PathRule(pattern=pattern, fields=fields, source=source))
    if problems:
        raise ConfigurationError.of_all(problems)
    return tuple(rules)


def read_size(text: Any) -> int:
    """`24GiB`, `24G`, `512 MB` or a number of bytes. Raises GrammarError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", str(text).strip(), re.IGNORECASE)
    if found is None:
        raise GrammarError(f"a size is {text!r}; expected one such as 24GiB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def read_seconds(text: Any) -> float:
    """`600`, `90s`, `10m` or `2h`. Raises GrammarError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", str(text).strip())
    if found is None or float(found[1]) <= 0:
        raise GrammarError(f"a timeout is {text!r}; expected one such as 600, 90s or 10m")
    return float(found[1]) * _SECONDS[found[2]]


def read_devices(text: Any) -> tuple[tuple[Clause, ...], frozenset[str]]:
    """
    `cuda>=2`, `cuda or xpu`, `cuda[sm90, 24GiB], not rocm`: the clauses, and the kinds that are excluded.

    `,` and `and` join needs that must all be met, `or` and `|` join alternatives; brackets hold the features and
    the memory of each device; `none` and `cpu` say that nothing is needed. Raises GrammarError.
    """
    if not isinstance(text, str) or not text.strip():
        raise GrammarError(f"requires is {text!r}; expected devices such as 'cuda>=2' or 'cuda or xpu'")
    clauses: list[Clause] = []
    excludes: set[str] = set()
    for part in _split_outside_brackets(text):
        negated = re.fullmatch(r"(?:not\s+|!\s*)([a-z]+)", part)
        if negated:
            excludes.add(_kind(negated[1]))
            continue
        if part in ("none", "cpu"):
            continue
        alternatives = re.split(r"\s+or\s+|\s*\|\s*", part)
        clauses.append(Clause(any_of=tuple(_read_device(word.strip()) for word in alternatives)))
    return tuple(clauses), frozenset(excludes)


def _split_outside_brackets(text: str) -> list[str]:
    hidden = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(",", "\0"), text.strip().lower())
    return [part.strip().replace("\0", ",") for part in re.split(r",|&|\s+and\s+", hidden) if part.strip()]


def _read_device(word: str) -> DeviceNeed:
    found = _DEVICE.fullmatch(word)
    if found is None:
        raise GrammarError(f"requires holds {word!r}; expected a device such as cuda, cuda>=2 or cuda[sm90, 24GiB]")
    memory, features = 0, set()
    for item in map(str.strip, (found["inside"] or "").split(",")):
        if re.fullmatch(r"\d+(\.\d+)?\s*[kmgt]i?b?", item):
            memory = read_size(item)
        elif item:
            features.add(item)
    count = int(found["count"] or 1)
    if count < 1:
        raise GrammarError(f"requires holds {word!r}; expected at least one device")
    return DeviceNeed(kind=_kind(found["kind"]), count=count, memory_bytes=memory, features=frozenset(features))


def _kind(word: str) -> Any:
    if word not in DEVICE_KINDS:
        raise GrammarError(f"{word!r} is no kind of device; expected one of {', '.join(sorted(DEVICE_KINDS))}")
    return word


def read_fields(fields: Mapping[str, Any], evidence: Evidence) -> tuple[Requirement, bool]:
    """
    The requirement that the fields make, and whether they speak of devices. Raises GrammarError.

    Where they ask something of the machine, the requirement is enforced: the test would run elsewhere, and fail.
    """
    unknown = sorted(set(fields) - set(FIELDS))
    if unknown:
        raise GrammarError(f"{unknown[0]!r} is no field; expected one of {', '.join(FIELDS)}")
    requirement = replace(NOTHING, evidence=(evidence,))
    if "requires" in fields:
        clauses, excludes = read_devices(fields["requires"])
        requirement = replace(requirement, all_of=clauses, excludes=excludes)
    if "memory" in fields:
        requirement = replace(requirement, min_memory_bytes=read_size(fields["memory"]))
    if "browser" in fields:
        browser = str(fields["browser"]).lower()
        if browser not in BROWSERS:
            raise GrammarError(f"browser is {fields['browser']!r}; expected one of {', '.join(sorted(BROWSERS))}")
        requirement = replace(requirement, browser=browser)
    if "platform" in fields:
        requirement = replace(requirement, platforms=_platforms(fields["platform"]))
    if "labels" in fields:
        requirement = replace(requirement, labels=frozenset(_words(fields["labels"])))
    if "timeout" in fields:
        requirement = replace(requirement, timeout_s=read_seconds(fields["timeout"]))
    if "exclusive" in fields:
        requirement = replace(requirement, exclusive=frozenset(_words(fields["exclusive"])))
    if "priority" in fields:
        requirement = replace(requirement, priority=_whole_number(fields["priority"]))
    return requirement, "requires" in fields


def _platforms(value: Any) -> frozenset[Any]:
    names = frozenset({"macos": "darwin", "win32": "windows"}.get(word, word) for word in _words(value))
    if not names or names - PLATFORMS:
        raise GrammarError(f"platform is {value!r}; expected {', '.join(sorted(PLATFORMS))}")
    return names


def _words(value: Any) -> list[str]:
    parts = value if isinstance(value, (list, tuple, set, frozenset)) else re.split(r"[,\s]+", str(value))
    return [str(part).strip() for part in parts if str(part).strip()]


def _whole_number(value: Any) -> int:
    if not re.fullmatch(r"[+-]?\d{1,9}", str(value).strip()):
        raise GrammarError(f"priority is {value!r}; expected a whole number")
    return int(value)


def statement_of(mark: Mark) -> Statement:
    """The fields of a mark `dt`; a positional argument is `requires`."""
    fields: dict[str, Any] = dict(mark.kwargs)
    if mark.args and "requires" not in fields:
        fields["requires"] = mark.args[0]
    return Statement(fields=fields, file=mark.file, line=mark.line, rule="dt-mark")


def combine(inferred: Requirement, statements: Sequence[Statement]) -> tuple[Requirement, tuple[Finding, ...]]:
    """
    The inferred requirement under what people said, nearest last: a nearer field replaces a farther one.

    Where anybody speaks of devices, what was inferred of devices no longer counts.
    """
    merged: dict[str, Any] = {}
    findings: list[Finding] = []
    evidence: list[Evidence] = []
    for statement in statements:
        proof = Evidence(file=statement.file, line=statement.line, rule=statement.rule)
        readable = dict(statement.fields)
        try:
            read_fields(readable, proof)
        except GrammarError as error:
            findings.append(Finding(evidence=proof, message=str(error)))
            readable = {name: value for name, value in readable.items() if _is_readable(name, value, proof)}
        merged |= readable
        if readable:
            evidence.append(proof)
    if not merged:
        return inferred, tuple(findings)
    said, speaks_of_devices = read_fields(merged, evidence[-1])
    said = replace(said, evidence=tuple(evidence), enforced=not said.needs_nothing)
    kept = replace(inferred, all_of=(), excludes=frozenset()) if speaks_of_devices else inferred
    return _override(kept, said), tuple(findings)


def _is_readable(name: str, value: Any, proof: Evidence) -> bool:
    try:
        read_fields({name: value}, proof)
    except GrammarError:
        return False
    return True


def _override(inferred: Requirement, said: Requirement) -> Requirement:
    return replace(
        said,
        all_of=said.all_of + inferred.all_of,
        excludes=said.excludes | inferred.excludes,
        browser=said.browser or inferred.browser,
        platforms=said.platforms or inferred.platforms,
        labels=said.labels | inferred.labels,
        min_memory_bytes=said.min_memory_bytes or inferred.min_memory_bytes,
        evidence=said.evidence + inferred.evidence,
    )


def pragmas_of(module: SourceModule) -> Pragmas:
    """
    The pragmas of a file.

    On the line of a `def` or `class`, or right above it and its decorators, a pragma speaks for that; before the
    first of them, for the whole file.
    """
    if "dt:" not in module.text:
        return Pragmas()
    starts = dict(_starts(module.tree))
    whole: list[Statement] = []
    by_line: dict[int, tuple[Statement, ...]] = {}
    findings: list[Finding] = []
    first = min(starts, default=len(module.lines) + 1)
    for line, body in _comments(module.text):
        proof = Evidence(file=module.path, line=line, rule="dt-pragma")
        try:
            statement = Statement(fields=_read_pragma(body), file=module.path, line=line, rule="dt-pragma")
        except GrammarError as error:
            findings.append(Finding(evidence=proof, message=str(error)))
            continue
        target = _target(line, starts, module.lines)
        if target is not None:
            by_line[target] = (*by_line.get(target, ()), statement)
        elif line < first:
            whole.append(statement)
        else:
            text = "a pragma speaks for nothing here; put it right above a test or class, or at the top of the file"
            findings.append(Finding(evidence=proof, message=text))
    return Pragmas(whole=tuple(whole), by_line=by_line, findings=tuple(findings))


def _starts(tree: ast.Module) -> Iterable[tuple[int, int]]:
    """The first line of each definition, decorators included, and the line of its `def` or `class`."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]), node.lineno


def _target(line: int, starts: Mapping[int, int], lines: Sequence[str]) -> int | None:
    if line in starts.values():
        return line
    below = line + 1
    while below <= len(lines) and lines[below - 1].strip().startswith("#"):
        below += 1
    return starts.get(below)


def _comments(text: str) -> Iterable[tuple[int, str]]:
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            found = _PRAGMA.match(token.string) if token.type == tokenize.COMMENT else None
            if found:
                yield token.start[0], found["body"]
    except (tokenize.TokenError, SyntaxError):
        return


def _read_pragma(body: str) -> dict[str, str]:
    """`requires cuda>=2; memory 24GiB`: fields by name."""
    fields: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in body.split(";"))):
        name, _, value = part.partition(" ")
        name = name.rstrip(":=")
        if name not in FIELDS or not value.strip():
            raise GrammarError(f"a pragma holds {part!r}; expected a field and its value, such as `requires cuda`")
        fields[name] = value.strip()
    return fields
