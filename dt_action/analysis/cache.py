"""Remembers needs by the content of all files that they were drawn from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dt_action.analysis.codec import decode
from dt_action.model.hardware import FileNeeds
from dt_action.workspace.caches import make_folder

_SKIPPED = frozenset({"node_modules", "__pycache__", "build", "dist", "venv"})


class NeedsCache:
    """
    A file of needs by path, each with the digests of what it was drawn from.

    An entry counts where every such file is unchanged, and no module was added or taken away outside the test files
    themselves, since an import could lead elsewhere then. A store that cannot be read is empty.
    """

    def __init__(self, directory: Path, *, root: Path, settings: str) -> None:
        self._file = directory / "analysis.json"
        self._root = root
        self._settings = settings
        self._digests: dict[str, str] = {}

    def load(self, paths: Iterable[str]) -> dict[str, FileNeeds]:
        """The needs that still hold, by path."""
        self._key = self._layout(frozenset(paths))
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            if stored["key"] != self._key:
                return {}
            entries: Mapping[str, Any] = stored["entries"]
            known = {path: decode(e["needs"]) for path in paths if (e := entries.get(path)) and self._holds(e["from"])}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        self._kept = {path: entries[path] for path in known}
        return known

    def save(self, found: Mapping[str, tuple[dict[str, Any], Mapping[str, str]]]) -> None:
        """Add encoded needs with what they were drawn from. Best effort: a full disk is not an error of the run."""
        fresh = {path: {"needs": needs, "from": dict(sources)} for path, (needs, sources) in found.items()}
        whole = {"key": self._key, "entries": {**self._kept, **fresh}}
        scratch = self._file.with_suffix(f".{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            make_folder(self._file.parent)
            scratch.write_text(json.dumps(whole, separators=(",", ":")), encoding="utf-8")
            scratch.replace(self._file)

    _key: str = ""
    _kept: Mapping[str, Any] = {}

    def _holds(self, sources: Mapping[str, str]) -> bool:
        return all(self._digest(path) == digest for path, digest in sources.items())

    def _digest(self, path: str) -> str:
        if path not in self._digests:
            try:
                self._digests[path] = hashlib.sha256((self._root / path).read_bytes()).hexdigest()
            except OSError:
                self._digests[path] = ""
        return self._digests[path]

    def _layout(self, tests: frozenset[str]) -> str:
        """A digest of the rules, the settings, and the names of the modules beside the tests."""
        digest = hashlib.sha256(f"{digest_of_rules()}\0{self._settings}".encode())
        root = str(self._root)
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
            inside = os.path.relpath(folder, root).replace(os.sep, "/")
            prefix = "" if inside == "." else f"{inside}/"
            for name in sorted(files):
                if name.endswith(".py") and f"{prefix}{name}" not in tests:
                    digest.update(f"{prefix}{name}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


@cache
def digest_of_rules(home: Path = Path(__file__).parent) -> str:
    """
    A digest of what the rules are: this package's code and tables, and the Python that parses for it.

    Every upgrade that could give other needs changes it, without anybody having to think of it.
    """
    digest = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for path in sorted(path for path in home.iterdir() if path.suffix in (".py", ".toml")):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()
