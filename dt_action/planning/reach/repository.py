"""The files of a repository that tests can reach, and what each says, remembered from one time to the next."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dt_action.planning.reach.source_facts import RULES_VERSION, SourceFacts, facts_of
from dt_action.workspace.caches import make_folder

NOT_ENTERED = frozenset(
    {
        *("node_modules", "__pycache__", "site-packages", ".git", ".hg", ".svn", ".tox", ".nox", ".venv", ".eggs"),
        *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".dt_cache", ".ipynb_checkpoints", ".direnv"),
    }
)
NAMING = (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".xml", ".env", ".properties", ".sh", ".bat")
"""Files that may name modules which a program imports for them, by suffix."""

NAMES_NO_MODULES = frozenset(
    {
        *("pyproject.toml", "setup.cfg", "tox.ini", "package.json", "package-lock.json", "mkdocs.yml", "mypy.ini"),
        *(".pre-commit-config.yaml", ".readthedocs.yaml", "pytest.ini", ".pytest.ini", "pytest.toml", ".flake8"),
        *("codecov.yml", ".codecov.yml", "dependabot.yml", "labeler.yml", "ruff.toml", ".ruff.toml", "release.yml"),
    }
)
MOST_NAMING_BYTES = 64 << 10
SETTLES_S = 2.0
"""A file edited so short a time ago may be edited again without its time telling: it is not remembered."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """
    The files below `root` and, where the repository's top lies above it, below that: paths are relative to `root`.

    `facts` has every Python file, with None where it cannot be read as Python; `naming` the dotted names that other
    files hold. `links` are folders and files that are links, by path, with the path that they lead to; what lies
    behind them stands in `facts` under its own path.
    """

    root: Path
    facts: Mapping[str, SourceFacts | None]
    naming: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()


def read_repository(
    root: Path, *, top: Path | None = None, cache: Path | None = None, clock_ns: Callable[[], int] = time.time_ns
) -> Repository:
    """What lies below `root` and `top`. `cache` is a file that remembers facts of files that did not change."""
    memory = _Memory(cache, clock_ns())
    found = _Walk(root)
    found.walk(top if top is not None and root.is_relative_to(top) else root)
    facts = {path: memory.facts(root, path) for path in sorted(found.python)}
    naming = {path: names for path in sorted(found.naming) if (names := memory.names(root, path))}
    memory.save()
    return Repository(root=root, facts=facts, naming=naming, links=found.links, folders=frozenset(found.folders))


class _Walk:
    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.python: list[str] = []
        self.naming: list[str] = []
        self.folders: list[str] = []
        self.links: dict[str, str] = {}

    def walk(self, start: Path) -> None:
        for folder, folders, names in os.walk(start):
            folders[:] = sorted(name for name in folders if not self._is_left_out(folder, name))
            base = self._path(folder)
            self.folders.append(base)
            for name in names:
                path = f"{base}/{name}" if base else name
                if name.endswith((".py", ".pyw")):
                    self.python.append(path)
                elif name.endswith(NAMING) and name not in NAMES_NO_MODULES:
                    self.naming.append(path)
            for name in names:
                if (name.endswith(".py") or "." not in name) and os.path.islink(f"{folder}/{name}"):  # noqa: PTH114 - many of them
                    self._note_link(folder, name)

    def _is_left_out(self, folder: str, name: str) -> bool:
        if name in NOT_ENTERED:
            return True
        path = f"{folder}/{name}"
        if os.path.islink(path):  # noqa: PTH114 - many of them
            self._note_link(folder, name)
            return True
        return os.path.exists(f"{path}/pyvenv.cfg") or os.path.exists(f"{path}/conda-meta/history")  # noqa: PTH110

    def _note_link(self, folder: str, name: str) -> None:
        base = self._path(folder)
        with contextlib.suppress(OSError, ValueError):
            target = os.path.relpath(os.path.realpath(f"{folder}/{name}"), os.path.realpath(self._root))
            self.links[f"{base}/{name}" if base else name] = target.replace(os.sep, "/")

    def _path(self, folder: str) -> str:
        path = os.path.relpath(folder, self._root).replace(os.sep, "/")
        return "" if path == "." else path


class _Memory:
    """Facts by path, each with the size and times of the file that they were read from. Best effort."""

    def __init__(self, file: Path | None, now_ns: int) -> None:
        self._file = file
        self._kept: dict[str, object] = {}
        self._known: dict[str, list[object]] = {}
        self._is_new = False
        self._now_ns = now_ns
        if file is not None:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                stored = json.loads(file.read_bytes())
                if stored["rules"] == RULES_VERSION and isinstance(stored["files"], dict):
                    self._known = stored["files"]

    def facts(self, root: Path, path: str) -> SourceFacts | None:
        told = self._told(root, path, _read_facts)
        if not isinstance(told, dict):
            return None
        try:
            return SourceFacts(
                imports=tuple((level, name) for level, name in told["imports"]),
                **{name: tuple(told[name]) for name in ("chains", "words", "parts", "traits")},
            )
        except (KeyError, TypeError, ValueError):
            return facts_of((root / path).read_bytes())

    def names(self, root: Path, path: str) -> tuple[str, ...]:
        told = self._told(root, path, _read_names)
        return tuple(map(str, told)) if isinstance(told, list) else ()

    def save(self) -> None:
        if self._file is None or not (self._is_new or len(self._kept) != len(self._known)):
            return
        scratch = self._file.with_suffix(f".{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            make_folder(self._file.parent)
            whole = {"rules": RULES_VERSION, "files": self._kept}
            scratch.write_text(json.dumps(whole, separators=(",", ":")), encoding="ascii")
            scratch.replace(self._file)

    def _told(self, root: Path, path: str, read: Callable[[str, int], object]) -> object:
        full = f"{root}/{path}"
        try:
            status = os.stat(full)  # noqa: PTH116 - many of them
        except OSError:
            return None
        mark = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        known = self._known.get(path)
        if isinstance(known, list) and len(known) == 4 and known[:3] == mark:
            self._kept[path] = known
            return known[3]
        told = read(full, status.st_size)
        if self._now_ns - max(mark[1:]) > SETTLES_S * 1e9:
            self._kept[path] = [*mark, told]
            self._is_new = True
        return told


def _read_facts(path: str, _: int) -> object:
    try:
        found = facts_of(Path(path).read_bytes())
    except OSError:
        return None
    return asdict(found) if found is not None else None


def _read_names(path: str, size: int) -> object:
    if size > MOST_NAMING_BYTES:
        return []
    try:
        text = Path(path).read_bytes().decode("utf-8", "replace")
    except OSError:
        return []
    return sorted(set(_DOTTED.findall(text)))
