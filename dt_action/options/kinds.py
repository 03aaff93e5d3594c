"""The kinds of value that options have: how what a person wrote becomes a value, and what was expected instead."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from dt_action.model.plan import Shard

T = TypeVar("T")

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
LONGEST_S = 365 * SECONDS["d"]
"""A longer wait is a slip of the finger, and overflows the clocks that it is handed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """
    A kind of value. `read` takes text, or what TOML or YAML made of it, and raises ValueError when it cannot be.

    `expected` completes "expected ..."; `example` is a value to write instead; `metavar` stands for the value in help.
    """

    read: Callable[[object], T]
    expected: str
    example: str
    metavar: str
    choices: tuple[str, ...] = ()
    many: bool = False
    is_switch: bool = False
    is_table: bool = False


def word(raw: object) -> str:
    """Text that is not empty. A number counts as the text a person wrote; a list or a truth value does not."""
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
        raise ValueError(raw)
    text = str(raw).strip()
    if not text or "\0" in text:
        raise ValueError(raw)
    return text


def _duration_s(raw: object) -> float:
    text = word(raw).replace(" ", "").lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        text += "s"
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h|d))+", text):
        raise ValueError(raw)
    seconds = sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(ms|[smhd])", text))
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(raw)
    return seconds


def _whole(raw: object, least: int) -> int:
    text = word(raw)
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
        raise ValueError(raw)
    return int(text)


def _switch(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    text = word(raw).lower()
    if text in {"true", "yes", "on", "1"}:
        return True
    if text in {"false", "no", "off", "0"}:
        return False
    raise ValueError(raw)


def _url(raw: object) -> str:
    text = word(raw)
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"\s", text):
        raise ValueError(raw)
    parts.port  # noqa: B018 - raises ValueError for a port that is no number
    return text.rstrip("/")


def _shard(raw: object) -> Shard:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", word(raw))
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(raw)
    return Shard(index=int(match[1]), count=int(match[2]))


def _arguments(raw: object) -> tuple[str, ...]:
    if isinstance(raw, (list, tuple)):
        return tuple(word(item) for item in raw)
    return tuple(shlex.split(word(raw)))


def split_words(text: str) -> list[str]:
    """`a, b c` -> a, b, c; quotes keep a name with spaces together; text of several lines has one value a line."""
    if "\n" in text.strip():
        return [line.strip() for line in text.splitlines() if line.strip()]
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t,\r\n", True, ""
    lexer.escape = ""  # a backslash separates directories on Windows
    return list(lexer)


def many(item: Kind[T]) -> Kind[tuple[T, ...]]:
    """One or more values of a kind: a list, or text that `split_words` can take apart."""

    def read(raw: object) -> tuple[T, ...]:
        if isinstance(raw, (list, tuple)):
            written = [part for element in raw for part in (_at_commas(element) if item.choices else [element])]
        else:
            written = [*split_words(word(raw))]
        if not written:
            raise ValueError(raw)
        return tuple(dict.fromkeys(item.read(part) for part in written))

    expected = f"one or more of {', '.join(item.choices)}" if item.choices else f"one or more: {item.expected}"
    return Kind(
        read=read, expected=expected, example=item.example, metavar=item.metavar, choices=item.choices, many=True
    )


def _at_commas(element: object) -> Sequence[object]:
    return split_words(element) if isinstance(element, str) else [element]


def _table_of_globs(raw: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(raw, Mapping):
        raise ValueError(raw)
    table: dict[str, tuple[str, ...]] = {}
    for name, globs in raw.items():
        listed = globs if isinstance(globs, (list, tuple)) else [globs]
        table[word(name)] = tuple(word(glob) for glob in listed)
    return table


def _table_of_text(raw: object) -> dict[str, str]:
    if not isinstance(raw, Mapping):
        raise ValueError(raw)
    return {word(name): word(value) for name, value in raw.items()}


def choice(*words: str) -> Kind[str]:
    """One of some words, in any case."""

    def read(raw: object) -> str:
        text = word(raw).lower()
        if text not in words:
            raise ValueError(raw)
        return text

    return Kind(read=read, expected=f"one of {', '.join(words)}", example=words[0], metavar="WORD", choices=words)


def text(expected: str, example: str) -> Kind[str]:
    """Text that is not empty, such as a path."""
    return Kind(read=word, expected=expected, example=example, metavar=expected.rsplit(maxsplit=1)[-1].upper())


def at_least(least: int) -> Kind[int]:
    """A whole number."""
    example = str(max(least, 2))
    return Kind(
        read=lambda raw: _whole(raw, least),
        expected=f"a whole number of at least {least}",
        example=example,
        metavar="N",
    )


def _workers(raw: object) -> int | None:
    return None if isinstance(raw, str) and raw.strip().lower() == "auto" else _whole(raw, 1)


def _percent(raw: object) -> float:
    number = float(word(raw).removesuffix("%"))
    if not 0 <= number <= 100:
        raise ValueError(raw)
    return number


def _bytes(raw: object) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB|K|M|G)?B?", word(raw), re.IGNORECASE)
    count = int(float(match[1]) * BYTES[(match[2] or "").upper().removesuffix("IB")]) if match else 0
    if count < 1:
        raise ValueError(raw)
    return count


def _number(raw: object) -> float:
    number = float(word(raw))
    if not 0 < number < 1e6:
        raise ValueError(raw)
    return number


SPAN: Kind[float] = Kind(
    read=lambda raw: 0.0 if word(raw) in ("0", "0.0", "0s") else _duration_s(raw),
    expected="a duration such as 90, 90s or 5m, or 0",
    example="90s",
    metavar="TIME",
)
DURATION: Kind[float] = Kind(
    read=_duration_s,
    expected="a duration above 0 and up to 365d, such as 90, 90s, 5m, 1h or 1h30m",
    example="5m",
    metavar="TIME",
)
WORKERS: Kind[int | None] = Kind(
    read=_workers, expected="a whole number of at least 1, or auto", example="auto", metavar="N"
)
PERCENT: Kind[float] = Kind(read=_percent, expected="a percentage from 0 to 100", example="85", metavar="PERCENT")
BYTES_OR_NONE: Kind[int] = Kind(
    read=lambda raw: 0 if word(raw) == "0" else _bytes(raw),
    expected="a size such as 512MiB or 4GiB, or 0",
    example="20MiB",
    metavar="SIZE",
)
BYTE_COUNT: Kind[int] = Kind(read=_bytes, expected="a size such as 512MiB or 4GiB", example="4GiB", metavar="SIZE")
NUMBER: Kind[float] = Kind(read=_number, expected="a number above 0", example="2", metavar="NUMBER")
SWITCH: Kind[bool] = Kind(read=_switch, expected="true or false", example="true", metavar="", is_switch=True)
URL: Kind[str] = Kind(
    read=_url,
    expected="an address with http:// or https:// and a host",
    example="https://dt.example.org",
    metavar="URL",
)
SHARD: Kind[Shard] = Kind(read=_shard, expected="I/N with I from 1 to N, such as 1/4", example="1/4", metavar="I/N")
ARGUMENTS: Kind[tuple[str, ...]] = Kind(
    read=_arguments, expected="arguments as a shell would quote them", example="-p no:randomly", metavar="ARGS"
)
GLOBS_BY_NAME: Kind[dict[str, tuple[str, ...]]] = Kind(
    read=_table_of_globs,
    expected="a table of names, each with a list of globs",
    example='{ nightly = ["tests/nightly/**"] }',
    metavar="",
    is_table=True,
)
PHRASE_BY_NAME: Kind[dict[str, str]] = Kind(
    read=_table_of_text,
    expected="a table of names, each with a phrase",
    example='{ needs_board = "requires npu" }',
    metavar="",
    is_table=True,
)
TEXT_BY_GLOB: Kind[dict[str, str]] = Kind(
    read=_table_of_text,
    expected="a table of globs, each with a text",
    example='{ "tests/gpu/**" = "requires cuda" }',
    metavar="",
    is_table=True,
)
