"""Python's plain values as JSON, and back: what pytest's reports and plugins' inputs hold, without running any code."""

from __future__ import annotations

import base64
from typing import Any, Dict, Iterable, List, Tuple

_KIND = "__dt__"


def encoded(value: Any) -> Any:
    """
    `value` as JSON can hold it. What is no plain value becomes its `repr`, where xdist would refuse the whole report.

    Tuples, sets, bytes and dictionaries with keys other than text are told apart, since plugins unpack and compare.
    """
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if isinstance(value, dict):
        if all(type(key) is str for key in value) and _KIND not in value:
            return {key: encoded(item) for key, item in value.items()}
        return {_KIND: "dict", "items": [[encoded(key), encoded(item)] for key, item in value.items()]}
    if isinstance(value, (tuple, set, frozenset)):
        return {_KIND: _name_of(value), "items": [encoded(item) for item in value]}
    if isinstance(value, (bytes, bytearray)):
        return {_KIND: "bytes", "text": base64.b64encode(bytes(value)).decode("ascii")}
    return repr(value)


def decoded(value: Any) -> Any:
    """The value that `encoded` was given."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_KIND)
    if kind is None:
        return {key: decoded(item) for key, item in value.items()}
    if kind == "bytes":
        return base64.b64decode(value["text"])
    if kind == "dict":
        return {_hashable(decoded(key)): decoded(item) for key, item in value["items"]}
    items: Iterable[Any] = [decoded(item) for item in value["items"]]
    if kind == "tuple":
        return tuple(items)
    return set(map(_hashable, items)) if kind == "set" else frozenset(map(_hashable, items))


def is_plain(value: Any) -> bool:
    """True for what comes back from JSON as it was."""
    if value is None or type(value) in (bool, int, float, str, bytes):
        return True
    if type(value) in (list, tuple, set, frozenset):
        return all(map(is_plain, value))
    return type(value) is dict and all(is_plain(key) and is_plain(item) for key, item in value.items())


def pairs(mapping: Dict[str, Any]) -> List[Tuple[str, Any]]:
    """The entries of `mapping` whose value is plain."""
    return [(key, value) for key, value in mapping.items() if is_plain(value)]


def _name_of(value: Any) -> str:
    if isinstance(value, tuple):
        return "tuple"
    return "set" if isinstance(value, set) else "frozenset"


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
