"""`dt.quarantine.yml`: tests whose failures are known, owned and forgiven until a date."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dt_action.errors import ConfigurationError
from dt_action.model.change import Tolerated

NAMES = ("dt.quarantine.yml", "dt.quarantine.yaml")
MOST_BYTES = 4 << 20
KEYS = ("id", "reason", "owner", "issue", "expires")
EXAMPLE = '- {id: "tests/test_a.py::test_x", reason: "needs the new driver", expires: 2030-01-31}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One quarantine. `id` is a case's id or a glob, in which only `*` and `?` stand for something else.

    It holds through the day `expires`.
    """

    id: str
    reason: str
    expires: date
    owner: str = ""
    issue: str = ""

    @property
    def is_glob(self) -> bool:
        """True where the id may stand for several cases. Brackets are part of a parametrised case's id."""
        return "*" in self.id or "?" in self.id

    def tolerated(self, case: str) -> Tolerated:
        """What the entry says of a case."""
        reason = f"in quarantine until {self.expires}: {self.reason}"
        return Tolerated(id=case, reason=reason, owner=self.owner, issue=self.issue)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """The entries of a file, those that hold `today` and those that no longer do."""

    entries: tuple[Entry, ...] = ()
    today: date

    def tolerated(self, cases: Iterable[str]) -> Iterator[Tolerated]:
        """What holds of each case, in the order of the cases; an exact id is preferred to a glob."""
        valid = [entry for entry in self.entries if entry.expires >= self.today]
        exact = {entry.id: entry for entry in reversed(valid)}
        globs = [(_regex(entry.id), entry) for entry in valid if entry.is_glob]
        for case in cases:
            entry = exact.get(case) or next((entry for glob, entry in globs if glob.fullmatch(case)), None)
            if entry is not None:
                yield entry.tolerated(case)

    def expired(self, failing: Iterable[str]) -> Iterator[str]:
        """A sentence for each entry that no longer holds, where a failing case would have been in it."""
        failing = tuple(failing)
        for entry in self.entries:
            if entry.expires < self.today and any(map(_regex(entry.id).fullmatch, failing)):
                owner = f" ({entry.owner})" if entry.owner else ""
                yield f"the quarantine of {entry.id}{owner} expired on {entry.expires}: its failures count again"

    def idle(self, passed: Iterable[str]) -> Iterator[str]:
        """A sentence for each entry with an exact id whose case passed: it may no longer be needed."""
        good = set(passed)
        for entry in self.entries:
            if entry.expires >= self.today and entry.id in good:
                yield f"{entry.id} is in quarantine and passed; does it still need to be there?"


def read_quarantine(root: Path, today: date) -> Quarantine:
    """The quarantine of a project; empty where it has no file. Raises ConfigurationError that tells every mistake."""
    path = next((root / name for name in NAMES if (root / name).is_file()), None)
    if path is None:
        return Quarantine(today=today)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    return parse_quarantine(content, today, source=path.name)


def parse_quarantine(content: bytes, today: date, *, source: str = NAMES[0]) -> Quarantine:
    """
    The quarantine in a file's bytes: a YAML list of mappings with the keys of `Entry`.

    Raises ConfigurationError, which tells every mistake at once: a file that is half understood would forgive too
    much or too little.
    """
    problems: list[ConfigurationError] = []
    items = _load(content, source)
    entries = []
    for number, item in enumerate(items, 1):
        try:
            entries.append(_entry(item, f"{source}, entry {number}"))
        except ConfigurationError as problem:
            problems.append(problem)
    if problems:
        raise ConfigurationError.of_all(problems)
    return Quarantine(entries=tuple(entries), today=today)


def _load(content: bytes, source: str) -> list[Any]:
    import yaml

    if len(content) > MOST_BYTES:
        raise ConfigurationError(f"{source}: expected at most {MOST_BYTES:,} bytes, found {len(content):,}")
    try:
        items = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, AttributeError, TypeError) as error:
        # PyYAML lets through what its scalars' own constructors raise, such as for the date 2026-02-31.
        said = " ".join(str(error).split())[:300]
        raise ConfigurationError(f"{source} is not YAML: {said}", hint=f"write a list: {EXAMPLE}") from None
    if items is None:
        return []
    if not isinstance(items, list):
        raise ConfigurationError(
            f"{source}: expected a list, found {type(items).__name__}", hint=f"write a list: {EXAMPLE}"
        )
    return items


def _entry(item: Any, where: str) -> Entry:
    if not isinstance(item, Mapping):
        raise ConfigurationError(f"{where}: expected keys and values, found {item!r:.80}", hint=f"write {EXAMPLE}")
    for key in item:
        if key not in KEYS:
            closest = get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {closest[0]!r}?" if closest else ""
            raise ConfigurationError(f"{where}: expected the keys {', '.join(KEYS)}, found {key!r:.80}", hint=hint)
    return Entry(
        id=_text(item, "id", where),
        reason=_text(item, "reason", where),
        expires=_day(item.get("expires"), where),
        owner=_text(item, "owner", where, is_needed=False),
        issue=_text(item, "issue", where, is_needed=False),
    )


def _text(item: Mapping[Any, Any], key: str, where: str, *, is_needed: bool = True) -> str:
    value = item.get(key)
    if value is None and not is_needed:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and key == "issue":
        return str(value)
    if not isinstance(value, str) or not value.strip():
        found = "nothing" if value is None else repr(value)[:80]
        raise ConfigurationError(f"{where}: expected text at {key!r}, found {found}", hint=f"write {EXAMPLE}")
    return value.strip()


def _day(value: Any, where: str) -> date:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            pass
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    found = "nothing" if value is None else repr(value)[:80]
    raise ConfigurationError(
        f"{where}: expected a day at 'expires', such as 2030-01-31, found {found}",
        hint="a quarantine needs an end, so that it is looked at again",
    )


def _regex(glob: str) -> re.Pattern[str]:
    special = {"*": ".*", "?": "."}
    return re.compile("".join(special.get(character) or re.escape(character) for character in glob), re.DOTALL)
