"""Test modules with their asserts rewritten: each is rewritten by one slot, once, for all slots and later runs."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import marshal
import os
import sys
import types
import warnings
from pathlib import Path
from typing import Any, List, Optional

import pytest
from _pytest.assertion import rewrite

_DIGEST_BYTES = hashlib.sha256().digest_size
_PRIVATE = ("_read_pyc", "_rewrite_test", "get_cache_dir", "PYC_TAIL")


def can_be_kept(config: Any) -> bool:
    """False where this pytest does not rewrite, or not in the way that we know: then it does all by itself."""
    return bool(config.pluginmanager.hasplugin("assertion")) and all(hasattr(rewrite, name) for name in _PRIVATE)


class RewrittenModules:
    """
    A folder of compiled test modules beside pytest's own `__pycache__`, which it does not replace.

    Rewriting is a good part of importing a large test module, and every process would do it for every module: in a
    fresh checkout, or where Python may not write bytecode (as in most images), each time anew. Entries are found by
    the file's content, so that they are good in another checkout at the same path, whatever its times. There is one
    entry for a path, a Python and a pytest, so the folder does not grow beyond the tests.
    """

    def __init__(self, folder: str, config: Any) -> None:
        self._folder = folder
        self._config = config
        # What else the code depends on: a hook for asserts that pass changes what is written for them.
        self._means = [
            sys.implementation.cache_tag or "",
            importlib.util.MAGIC_NUMBER.hex(),
            str(sys.flags.optimize),
            pytest.__version__,
            str(config.getini("enable_assertion_pass_hook")),
        ]
        self._read_pyc = rewrite._read_pyc
        rewrite._read_pyc = self._read  # type: ignore[assignment]

    def prepare(self, paths: List[str]) -> None:
        """Rewrite what nobody has rewritten yet; what fails, fails again and is told when it is imported."""
        if not any(isinstance(finder, rewrite.AssertionRewritingHook) for finder in sys.meta_path):
            return
        for path in paths:
            with contextlib.suppress(BaseException):
                self._prepare(path)

    def _prepare(self, path: str) -> None:
        source = Path(path)
        pyc = rewrite.get_cache_dir(source) / (source.name[:-3] + rewrite.PYC_TAIL)
        if self._read(source, pyc) is not None:
            return
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            digest = self._digest(path)
            code = rewrite._rewrite_test(source, self._config)[1]
        if warned:
            return  # they are for the user, each time that the module is imported
        os.makedirs(self._folder, exist_ok=True)
        entry = self._entry(path)
        new = "%s.%d" % (entry, os.getpid())
        with open(new, "wb") as file:
            file.write(digest + marshal.dumps(code))
        os.replace(new, entry)

    def _read(self, source: Any, pyc: Any, *args: Any) -> Optional[types.CodeType]:
        """Stands in for pytest's `_read_pyc`."""
        code: Optional[types.CodeType] = self._read_pyc(source, pyc, *args)
        if code is not None:
            return code
        path = str(source)
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError), open(self._entry(path), "rb") as file:
            if file.read(_DIGEST_BYTES) == self._digest(path):
                found = marshal.load(file)  # noqa: S302 - who can write here, can write the tests  # nosec B302
                return found if isinstance(found, types.CodeType) else None
        return None

    def _digest(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return hashlib.sha256("\0".join([path, *self._means, ""]).encode() + file.read()).digest()

    def _entry(self, path: str) -> str:
        name = hashlib.sha256("\0".join([path, *self._means]).encode()).hexdigest()[:32]
        return os.path.join(self._folder, name)
