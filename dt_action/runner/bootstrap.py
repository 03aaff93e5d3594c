"""The entry of a process of pytest: become what `pytest` would be there, then hand over to the slot or controller."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import importlib.util
import json
import os
import sys
import types
from typing import Any

PACKAGE = "_dt_runner"
PLUGIN = "dt_action.cli.pytest_plugin"


def main() -> int:
    """`bootstrap.py CONFIG`, where CONFIG is JSON: {"role": ..., "channel": ..., "args": [...], "slot": ..., ...}."""
    config = json.loads(sys.argv[1])
    if config["shares_hash_seed"]:  # of no concern to what the tests start
        os.environ.pop("PYTHONHASHSEED", None)
    _load_package()
    channel_module = importlib.import_module(PACKAGE + ".channel")
    channel = channel_module.Channel.connect(config["channel"])
    _enter_the_project(as_script=config["import_path"] == "script")
    if config.get("record"):
        importlib.import_module(PACKAGE + ".recording").start(config["record"])
    # Before pytest is imported, as under `coverage run -m pytest`: plugins of the project are measured, too.
    measuring = (
        importlib.import_module(PACKAGE + ".measuring").start(config["measure"]) if config.get("measure") else None
    )
    try:
        _pose_as_pytest(config["args"])
        _keep_out_our_plugin()
        role = importlib.import_module("%s.%s" % (PACKAGE, config["role"]))
        return int(role.run(channel, config, measuring))
    finally:
        if measuring:
            measuring.finish()


def _load_package() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package in {here}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


def _enter_the_project(*, as_script: bool) -> None:
    """
    sys.path[0] is this file's folder now. `python -m pytest` has the working directory there, and tests import their
    project from it; the script `pytest` has its own folder, and tests import what is installed.
    """
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(sys.executable) if as_script else os.getcwd()


def _pose_as_pytest(args: list[str]) -> None:
    """
    Make sys.argv and `__main__` those of `python -m pytest`.

    A spawned multiprocessing child looks at `__main__.__spec__` to find what to import: pytest's is one that it
    leaves alone.
    """
    import pytest

    spec = importlib.util.find_spec("pytest.__main__")
    main_module = sys.modules["__main__"]
    main_module.__spec__ = spec
    file = (spec.origin if spec else None) or pytest.__file__
    main_module.__file__ = file
    sys.argv = [str(file), *args]


def _keep_out_our_plugin() -> None:
    """
    Where dt is installed beside the tests, pytest finds the plugin of `pytest --dt`.

    It has nothing to do in here but to let the option pass, and nothing of dt is to be imported, or measured.
    """
    module: Any = types.ModuleType(PLUGIN)
    module.pytest_addoption = lambda parser: parser.addoption("--dt", action="store_true")
    sys.modules[PLUGIN] = module


def _leave(code: int) -> None:
    """
    End the process with all that a program's end owes: threads joined, exit handlers run, streams flushed.

    Left out is only that the interpreter takes its modules down one by one, which can take as long as a small suite.
    """
    threading: Any = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    run_handlers: Any = getattr(atexit, "_run_exitfuncs")
    run_handlers()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a test may have closed or replaced it
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
