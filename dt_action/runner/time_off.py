"""While a test's teardown waits for the fleet: time that is not the test's, and must not end it."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import threading
from typing import Any, Iterator, Tuple

# Tests patch these names.
_getitimer: Any = getattr(signal, "getitimer", None)
_setitimer: Any = getattr(signal, "setitimer", None)


@contextlib.contextmanager
def time_off(item: Any) -> Iterator[None]:
    """
    Stop the clocks that limit `item`, and let them go on afterwards with what they had left.

    That is the process's alarm, as pytest-timeout and many others use it; pytest-timeout's thread; and pytest's own
    `faulthandler_timeout`. The latter two start anew.
    """
    has_thread = _stop_thread_of_pytest_timeout(item)
    left = _stop_alarm()
    traces_after = _faulthandler_timeout(item.config)
    if traces_after:
        faulthandler.cancel_dump_traceback_later()
    try:
        yield
    finally:
        if left[0] > 0:
            _setitimer(signal.ITIMER_REAL, *left)
        if has_thread:
            _start_thread_of_pytest_timeout(item)
        if traces_after:
            _dump_traceback_after(traces_after, item.config)


def _stop_alarm() -> Tuple[float, float]:
    """What the alarm had left, in seconds, and its interval; 0 where there is none."""
    if _setitimer is None or threading.current_thread() is not threading.main_thread():
        return 0.0, 0.0
    left: Tuple[float, float] = _getitimer(signal.ITIMER_REAL)
    if left[0] > 0:
        _setitimer(signal.ITIMER_REAL, 0)
    return left


def _stop_thread_of_pytest_timeout(item: Any) -> bool:
    """True where pytest-timeout (2.0 or newer) watches the item by a thread, which is stopped now."""
    name = "pytest_timeout %s" % item.nodeid
    if not any(isinstance(thread, threading.Timer) and thread.name == name for thread in threading.enumerate()):
        return False
    if getattr(item, "cancel_timeout", None) is None:
        return False
    item.cancel_timeout()
    return True


def _start_thread_of_pytest_timeout(item: Any) -> None:
    plugin = item.config.pluginmanager.get_plugin("timeout")
    settings = getattr(plugin, "_get_item_settings", None)
    if settings is not None:
        item.ihook.pytest_timeout_set_timer(item=item, settings=settings(item))


def _faulthandler_timeout(config: Any) -> float:
    """pytest's `faulthandler_timeout` in seconds; 0 for none, or where its plugin is switched off."""
    if not config.pluginmanager.hasplugin("faulthandler"):
        return 0.0
    try:
        return float(config.getini("faulthandler_timeout") or 0.0)
    except ValueError:
        return 0.0


def _dump_traceback_after(seconds: float, config: Any) -> None:
    from _pytest import faulthandler as plugin

    key = getattr(plugin, "fault_handler_stderr_fd_key", None)
    if key is None or key not in config.stash:
        return
    ends = getattr(plugin, "get_exit_on_timeout_config_value", None)
    faulthandler.dump_traceback_later(seconds, file=config.stash[key], exit=bool(ends and ends(config)))
