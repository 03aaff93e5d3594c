"""The protocol between a slot's process and the engine: what is written is what is read, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.errors import UnreadableError
from dt_action.model import slot_protocol as protocol
from dt_action.model.slot_protocol import Garbled, parse_line, parse_relayed

NAMES = st.text(min_size=1, max_size=8)
SECONDS = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
STRATEGIES: dict[Any, st.SearchStrategy[Any]] = {
    protocol.Name: NAMES,
    protocol.Text: st.text(max_size=8),
    protocol.Seconds: SECONDS,
    protocol.Count: st.integers(0, 1 << 40),
}


def instances(kind: Any) -> st.SearchStrategy[Any]:
    """Any message or command of a type."""
    fields = {name: _values(hint) for name, hint in _hints(kind).items()}
    return st.builds(kind, **fields)


def _hints(kind: Any) -> dict[str, Any]:
    from typing import get_type_hints

    return {name: hint for name, hint in get_type_hints(kind, include_extras=True).items() if name != "word"}


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if hint in STRATEGIES:
        return STRATEGIES[hint]
    if getattr(hint, "__origin__", None) is tuple:
        return st.lists(_values(get_args(hint)[0]), max_size=3).map(tuple)
    if hint in (protocol.Found, protocol.Unit, protocol.Warned):
        return instances(hint)
    if getattr(hint, "__origin__", None) is Mapping:
        return st.dictionaries(*map(_values, get_args(hint)), max_size=2)
    if hint is Any:
        return st.none() | st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=2)
    return st.from_type(hint)


FROM_PROCESS = [kind for kind in get_args(protocol.FromProcess) if kind is not Garbled]
OF_HOSTS = (Garbled, protocol.Printed, protocol.Log, protocol.Died)


@given(st.one_of([instances(kind) for kind in FROM_PROCESS]))
def test_a_message_written_to_a_line_is_read_as_it_was(message) -> None:
    assert parse_line(json.dumps(protocol.message_to_jsonable(message)).encode()) == message


@given(st.one_of([instances(kind) for kind in (*FROM_PROCESS, *OF_HOSTS)]))
def test_a_message_that_a_host_relays_is_read_as_it_was(message) -> None:
    assert parse_relayed(json.loads(json.dumps(protocol.message_to_jsonable(message)))) == message


@given(st.one_of([instances(kind) for kind in get_args(protocol.Command)]))
def test_a_command_is_read_as_it_was(command) -> None:
    assert protocol.parse_command(json.loads(json.dumps(protocol.command_to_jsonable(command)))) == command


@given(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode)))
def test_any_line_gives_a_message_or_says_what_is_wrong(line: bytes) -> None:
    parse_line(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
WORDS = st.sampled_from([kind.word for kind in (*FROM_PROCESS, *OF_HOSTS)])
FIELDS = st.sampled_from(sorted({name for kind in (*FROM_PROCESS, *OF_HOSTS) for name in _hints(kind)}))


@given(WORDS, st.dictionaries(FIELDS, JSON))
def test_a_message_with_any_fields_is_read_or_told_as_garbled(word: str, fields: dict[str, Any]) -> None:
    """Never an error: it would end the whole run because of one test."""
    parse_relayed({**fields, "e": word})


def test_a_field_that_is_not_known_is_passed_over() -> None:
    assert parse_line(b'{"e": "started", "id": "a", "reports": [1]}') == protocol.Started(id="a")


@pytest.mark.parametrize(
    "line",
    [
        b"1",
        b"{}",
        b"null",
        b"[]",
        b'"ready"',
        b"hello",
        b"\xff",
        b"[" * 100_000,
        b'{"e": "nonsense"}',
        b'{"e": ["died"]}',
        b'{"e": "ready"}',
        b'{"e": "ready", "files": "all"}',
        b'{"e": "started", "id": ""}',
        b'{"e": "started", "id": 7}',
        b'{"e": "want", "seen": true}',
        b'{"e": "want", "seen": -1}',
        b'{"e": "finished", "id": "x", "outcome": "great", "duration_s": 1, "started_at": 1}',
        b'{"e": "finished", "id": "x", "outcome": "passed", "duration_s": -1, "started_at": 1}',
        b'{"e": "finished", "id": "x", "outcome": "passed", "duration_s": NaN, "started_at": 1}',
        b'{"e": "died", "reason": "a host alone tells this"}',
        b'{"e": "garbled", "what": "and this"}',
    ],
)
def test_nonsense_is_told_as_garbled_with_what_was_expected(line: bytes) -> None:
    message = parse_line(line)
    assert isinstance(message, Garbled)
    assert "expected" in message.what and len(message.what) < 500


def test_a_text_that_is_too_long_is_cut_and_costs_nobody_the_test() -> None:
    line = json.dumps({"e": "exit", "reason": "x" * (protocol.MAX_TEXT + 1)}).encode()
    assert parse_line(line) == protocol.Exit(reason="x" * protocol.MAX_TEXT)


@pytest.mark.parametrize("value", [None, {}, {"op": "dance"}, {"op": "go"}, {"op": "go", "credit": "many"}])
def test_a_command_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(UnreadableError):
        protocol.parse_command(value)
