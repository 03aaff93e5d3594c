"""An interrupt that meets a slot while it waits: the signal may take the command along that announced it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from dt_action.runner.worklist import Worklist


class Interrupted:
    """A line whose reader is interrupted; `arrived` are the commands that are still there to be read."""

    def __init__(self, *arrived: dict[str, Any]) -> None:
        self._arrived = list(arrived)

    def send(self, word: str, **fields: Any) -> None:
        """Nobody listens."""

    def receive(self) -> dict[str, Any]:
        raise KeyboardInterrupt

    def waiting(self) -> list[dict[str, Any]]:
        arrived, self._arrived = self._arrived, []
        return arrived


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Ctrl-C ends this session as before."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("arrived", [[{"op": "interrupt"}], []], ids=["to-be-read", "lost"])
def test_a_slot_that_waits_is_interrupted_whether_it_has_read_the_command_or_not(arrived) -> None:
    worklist = Worklist(Interrupted(*arrived), apart=contextlib.nullcontext)  # type: ignore[arg-type]
    assert worklist.next_case() == []
    assert worklist.is_interrupted


def test_a_signal_that_comes_after_its_command_does_not_end_the_teardown() -> None:
    worklist = Worklist(Interrupted({"op": "interrupt"}), apart=contextlib.nullcontext)  # type: ignore[arg-type]
    worklist.apply_waiting()
    os.kill(os.getpid(), signal.SIGINT)
    assert worklist.next_case() == []
