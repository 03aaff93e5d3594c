"""The line to a slot, over a real pair of sockets."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.hosts.slot_line import Line, WakeableSelector
from dt_action.model.slot_protocol import Drop, FromProcess, Garbled, Started, Stop, message_to_jsonable


@pytest.fixture
def ends() -> Iterator[tuple[Line, socket.socket]]:
    """Our end of a line and the slot's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Line(ours), theirs


def test_a_command_is_a_line_of_json(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    line.send(Drop(cases=("größe",)))
    text = theirs.recv(4096)
    assert (text[-1:], json.loads(text)) == (b"\n", {"op": "drop", "cases": ["größe"]})


def test_nothing_has_come_while_the_slot_says_nothing(ends: tuple[Line, socket.socket]) -> None:
    assert ends[0].receive() == (b"", False)


def test_the_end_comes_with_the_last_that_the_slot_said(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    theirs.sendall(b'{"e": "bye"}\n')
    theirs.close()
    assert line.receive() == (b'{"e": "bye"}\n', True)


def test_a_command_to_a_slot_that_is_gone_is_no_error(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    theirs.close()
    line.send(Stop())
    assert line.receive() == (b"", True)


@given(st.lists(st.text(min_size=1, max_size=9), max_size=5), st.lists(st.integers(1, 40), max_size=8))
def test_messages_are_the_same_however_the_bytes_are_cut(ids: list[str], cuts: list[int]) -> None:
    messages = [Started(id=id) for id in ids]
    stream = b"".join(json.dumps(message_to_jsonable(message)).encode() + b"\n" for message in messages)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line = Line(ours)
        heard: list[FromProcess] = []
        for cut in [*cuts, len(stream)]:
            heard += line.messages(stream[:cut])
            stream = stream[cut:]
    assert heard == messages


def test_what_a_test_writes_to_the_line_is_told_as_garbled_and_the_next_message_is_read(ends) -> None:
    heard = list(ends[0].messages(b'hello\n{"e": "started", "id": "a"}\n\xff\n'))
    assert [type(message) for message in heard] == [Garbled, Started, Garbled]


def test_a_line_without_an_end_is_not_gathered_for_ever(ends) -> None:
    line = ends[0]
    heard = [message for _ in range(65) for message in line.messages(b"x" * (1 << 20))]
    assert [type(message) for message in heard] == [Garbled]


def test_a_wait_gives_what_can_be_read(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    selector = WakeableSelector()
    selector.register(line.sock, "gw0")
    theirs.sendall(b"x")
    assert selector.ready(10.0) == ["gw0"]
    selector.unregister(line.sock)
    assert selector.ready(0.0) == []
    selector.close()


def test_another_thread_ends_a_wait() -> None:
    selector = WakeableSelector()
    found: list[list[object]] = []
    waiting = threading.Thread(target=lambda: found.append(selector.ready(60.0)), daemon=True)
    waiting.start()
    selector.wake()
    waiting.join(10.0)
    assert found == [[]]
    selector.close()
