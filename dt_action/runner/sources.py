"""How a recording is told that functions begin: by sys.monitoring, or by tracing before Python 3.12."""

from __future__ import annotations

import inspect
import sys
import threading
from typing import Any, Dict, List, Set

from .lasting import identity

_getframe = sys._getframe
_RESUMED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Monitoring:
    """
    sys.monitoring, Python 3.12 and later: a function tells that it starts once in each context.

    Two tools: one hears every code object once in its life, the other is armed for the project's alone. That one also
    hears the stores of functions that `watch` was asked for. While it does, it hears each of their calls: CPython 3.12
    and 3.13 forget about instructions where PY_START is asked for after INSTRUCTION.
    """

    def __init__(self, recording: Any) -> None:
        self._monitoring: Any = getattr(sys, "monitoring")
        free = [tool for tool in (4, 3, 5, 2) if self._monitoring.get_tool(tool) is None]
        self._scout, self._tool = free[:2]
        events = self._monitoring.events
        self._start, self._resume, self._instruction = events.PY_START, events.PY_RESUME, events.INSTRUCTION
        self._disable = self._monitoring.DISABLE
        self._set_local = self._monitoring.set_local_events
        self._recording = recording
        self._fired: List[Any] = []
        self._watched: Dict[int, Any] = {}
        self._over: Set[int] = set()
        for tool, event, callback in (
            (self._scout, self._start, self._on_first),
            (self._tool, self._start, self._on_start),
            (self._tool, self._resume, self._on_start),
            (self._tool, self._instruction, self._on_instruction),
        ):
            if self._monitoring.get_tool(tool) is None:
                self._monitoring.use_tool_id(tool, "dt")
            self._monitoring.register_callback(tool, event, callback)
        self._monitoring.set_events(self._scout, self._start)

    def arm(self) -> None:
        """Contexts changed: hear every function again."""
        fired, self._fired = self._fired, []
        self._over.clear()
        tool, set_local, watched = self._tool, self._set_local, self._watched
        start, both = self._start, self._start | self._resume
        for code in fired:
            if not watched or identity(code) not in watched:
                set_local(tool, code, both if code.co_flags & _RESUMED else start)

    def watch(self, code: Any, _: Any) -> None:
        """Hear the stores of a function, until `rest`."""
        if identity(code) not in self._watched:
            self._watched[identity(code)] = code
            self._set_local(self._tool, code, self._calls(code))
            self._set_local(self._tool, code, self._calls(code) | self._instruction)

    def rest(self) -> None:
        """Hear no stores any more."""
        for code in self._watched.values():
            self._set_local(self._tool, code, self._calls(code))
        self._watched.clear()

    def _calls(self, code: Any) -> int:
        """A generator may be started by one test and go on in another."""
        return int(self._start | self._resume if code.co_flags & _RESUMED else self._start)

    def _on_first(self, code: Any, _: int) -> Any:
        if self._recording.discover(code, _getframe(1)):
            self._enter(code, _getframe(1), is_armed=False)
        return self._disable

    def _on_start(self, code: Any, _: int) -> None:
        if identity(code) not in self._over:
            is_of_interest = self._recording.needs_frame(code)  # each frame that is asked for costs
            self._enter(code, _getframe(1) if is_of_interest else None, is_armed=True)

    def _enter(self, code: Any, frame: Any, *, is_armed: bool) -> None:
        self._fired.append(code)
        is_over = self._recording.enter(code, frame)
        if identity(code) in self._watched:
            if is_over:
                self._over.add(identity(code))
        elif is_over == is_armed:
            self._set_local(self._tool, code, 0 if is_over else self._calls(code))

    def _on_instruction(self, code: Any, offset: int) -> Any:
        if offset not in self._recording.watched(code):
            return self._disable
        self._recording.stored(code, offset, _getframe(1))
        return None


class Tracing:
    """sys.settrace before Python 3.12: every call is heard, and most are passed over."""

    def __init__(self, recording: Any) -> None:
        self._recording = recording
        self._over: Set[int] = set()
        self._foreign: Set[int] = set()
        self._kept: List[Any] = []
        self._known: Set[int] = set()
        self._watched: Set[int] = set()
        sys.settrace(self._trace)
        threading.settrace(self._trace)

    def arm(self) -> None:
        """Contexts changed: hear every function again."""
        self._over.clear()

    def watch(self, code: Any, _: Any) -> None:
        """Hear the stores of a function, also of the call that is just being entered, until `rest`."""
        self._watched.add(identity(code))

    def rest(self) -> None:
        """Hear no stores any more."""
        self._watched.clear()

    def _trace(self, frame: Any, event: str, _: Any) -> Any:
        code = frame.f_code
        key = identity(code)
        if key in self._foreign:
            return None
        if key in self._over:
            return self._hear_stores(frame) if key in self._watched else None
        if key not in self._known:
            if not self._recording.discover(code, frame):
                self._foreign.add(key)
                self._kept.append(code)
                return None
            self._known.add(key)
        if self._recording.enter(code, frame):
            self._over.add(key)
        return self._hear_stores(frame) if key in self._watched else None

    def _hear_stores(self, frame: Any) -> Any:
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self._trace_stores

    def _trace_stores(self, frame: Any, event: str, _: Any) -> Any:
        if event == "opcode" and frame.f_lasti in self._recording.watched(frame.f_code):
            self._recording.stored(frame.f_code, frame.f_lasti, frame)
        return self._trace_stores
