"""pytest's reports and warnings as messages, and back: what pytest-xdist's workers send to its controller."""

from __future__ import annotations

import importlib
import json
import warnings
from typing import Any, Dict

from .outcomes import shortened
from .values import decoded, encoded, is_plain

Data = Dict[str, Any]

MOST_CHARACTERS = 1 << 20
"""Of each text in a report, so many are passed on, from its start and its end together."""

_dumps = json.dumps  # tests patch it


def report_data(config: Any, report: Any) -> str:
    """
    A report as text in JSON, by pytest's own serialisation, which plugins may extend.

    Output of hundreds of megabytes is cut in its middle: no reader of a report looks at it.
    """
    data = config.hook.pytest_report_to_serializable(config=config, report=report)
    return _dumps(_cut(encoded(data)))


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return shortened(value, MOST_CHARACTERS)
    if isinstance(value, list):
        return [_cut(item) for item in value]
    return {key: _cut(item) for key, item in value.items()} if isinstance(value, dict) else value


def report_from(config: Any, text: str) -> Any:
    """The report that `report_data` was given."""
    return config.hook.pytest_report_from_serializable(config=config, data=decoded(json.loads(text)))


def warning_data(warning: Any, when: str, nodeid: str, location: Any, *, full: bool) -> Data:
    """A recorded warning: what a person is told, and with `full` what a controller session needs."""
    message = warning.message
    told: Data = {
        "category": warning.category.__name__ if warning.category else "",
        "text": str(message)[:2000],
        "file": str(warning.filename),
        "line": int(warning.lineno or 0),
        "id": nodeid,
        "when": when,
    }
    if full:
        args = getattr(message, "args", None)
        told["full"] = _dumps(
            encoded(
                {
                    "module": type(message).__module__,
                    "class": type(message).__name__,
                    "args": args if is_plain(args) else None,
                    "category": [warning.category.__module__, warning.category.__name__] if warning.category else None,
                    "location": location,
                }
            )
        )
    return told


def warning_from(told: Data) -> Any:
    """The warning that `warning_data` was given, as far as its class can be found and made here."""
    full = full_of(told)
    message: Any = None
    try:
        kind = getattr(importlib.import_module(full["module"]), full["class"])
        message = kind(*full["args"]) if full["args"] is not None else None
    except Exception:  # a class of a test module, or one that takes other arguments
        message = None
    if message is None:
        message = Warning("%s.%s: %s" % (full["module"], full["class"], told["text"]))
    category: Any = type(message)
    if full["category"]:
        try:
            category = getattr(importlib.import_module(full["category"][0]), full["category"][1])
        except Exception:
            category = type(message)
    return warnings.WarningMessage(
        message=message, category=category, filename=told["file"], lineno=told.get("line", 0)
    )


def full_of(told: Data) -> Data:
    """What `warning_data` added for a controller session."""
    full: Data = decoded(json.loads(told["full"]))
    return full
