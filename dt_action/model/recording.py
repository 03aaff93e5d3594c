"""What the tests of a run entered, opened and started: by case, by fixture of wider scope, and outside of tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Unit = tuple[str, str]
"""A function: its file, relative to the root, and its qualified name."""


class CaseSeen(NamedTuple):
    """The functions that a case entered, the fixtures of wider scope that it used, and what could not be followed."""

    units: frozenset[int]
    fixtures: tuple[str, ...] = ()
    traits: frozenset[str] = frozenset()


class Input(NamedTuple):
    """
    A file that was opened (`how` is `open`) or a folder that was listed (`list`) by code of the file `by`.

    `by` is `*` for a library's code. `who` is the case or fixture that it belongs to; empty where others may depend on
    it, too.
    """

    path: str
    how: str
    by: str
    who: str


@dataclass(frozen=True, kw_only=True)
class Recording:
    """
    One run's. `commit` is that of its files, `arguments` were pytest's. `units` are numbered by their place.

    `outside` are functions that ran outside of tests; `kept` those of which something is kept in a file's module, so
    that whoever imports that may find it. `collected` are all cases of the files that were collected,
    `left_out` those that the arguments left out.
    """

    commit: str = ""
    arguments: str = ""
    has_units: bool = True
    units: tuple[Unit, ...] = ()
    outside: frozenset[int] = frozenset()
    kept: Mapping[str, frozenset[int]] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    fixtures: Mapping[str, CaseSeen] = field(default_factory=dict)
    cases: Mapping[str, CaseSeen] = field(default_factory=dict)
    inputs: frozenset[Input] = frozenset()
    collected: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
