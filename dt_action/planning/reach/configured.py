"""What a project's settings name: plugins and settings modules of pytest, entry points, and folders to import from."""

from __future__ import annotations

import ast
import contextlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dt_action.options.config_file import parse_toml

_NAMES_NO_MODULE = frozenset(
    {
        *("testpaths", "norecursedirs", "python_files", "python_classes", "python_functions", "markers", "pythonpath"),
        *("minversion", "required_plugins", "cache_dir", "junit_suite_name", "log_format", "log_file", "addopts"),
    }
)
_OTHER_KINDS = re.compile(
    r"--(nbval|nbmake|markdown-docs|codeblocks|mypy|flake8|ruff|black|isort|pylint|cram|pycodestyle|examples)\b"
)
_ENTRY = re.compile(r"^\s*([\w.+-]+)\s*=\s*([A-Za-z_][\w.]*)\s*(?::\s*[\w.]+)?\s*(?:\[.*\])?\s*$")
_MODULE = re.compile(r"[A-Za-z_][\w.]*")
_SCRIPTS = ("console_scripts", "gui_scripts")


@dataclass(slots=True)
class Configured:
    """
    `words` may name modules that every test reaches; `scripts` are commands by name, with the module of each.

    `search_path` are folders, relative to the root. `other_kinds` tells why there may be tests that no discovery sees.
    """

    words: set[str] = field(default_factory=set)
    scripts: dict[str, str] = field(default_factory=dict)
    search_path: set[str] = field(default_factory=set)
    other_kinds: str = ""


def read_configured(root: Path, arguments: Sequence[str] = ()) -> Configured:
    """What the files at `root` say, and pytest's `arguments`. What cannot be read says nothing: pytest will tell."""
    found = Configured()
    _note_arguments(arguments, found)
    for name in ("pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg"):
        for section, values in _ini(root / name).items():
            if section in ("pytest", "tool:pytest"):
                _note_pytest(values, found)
            elif section.startswith("testenv"):
                found.words.update(_MODULE.findall(values.get("setenv", "") + "\n" + values.get("set_env", "")))
            elif section == "options.entry_points":
                for group, lines in values.items():
                    for line in lines.splitlines():
                        _note_entry(group, line, found)
    for name in ("pyproject.toml", "pytest.toml", ".pytest.toml"):
        document = _toml(root / name)
        tool = _table(document, "tool")
        for table in (_table(tool, "pytest", "ini_options"), _table(tool, "pytest"), _table(document, "pytest")):
            _note_pytest(table, found)
        _note_project(document, found)
    _note_setup(root / "setup.py", found)
    return found


def _note_arguments(arguments: Sequence[str], found: Configured) -> None:
    before = ""
    for word in arguments:
        option, _, value = word.partition("=")
        if before in ("-p", "--ds", "--dc"):
            found.words.add(word)
        elif word.startswith("-p") and len(word) > 2:
            found.words.add(word[2:])
        elif option.startswith("-") and "." in value:
            found.words.add(value)
        if _OTHER_KINDS.match(option):
            found.other_kinds = f"{option} makes tests of other files"
        before = word


def _note_pytest(values: Mapping[str, Any], found: Configured) -> None:
    for key, value in values.items():
        texts = value if isinstance(value, list) else [value]
        whole = "\n".join(text for text in texts if isinstance(text, str))
        if key == "addopts":
            with contextlib.suppress(ValueError):
                _note_arguments(texts if isinstance(value, list) else shlex.split(whole), found)
        elif key == "pythonpath":
            found.search_path.update(word.strip("./") for word in whole.split())
        elif key not in _NAMES_NO_MODULE:
            found.words.update(_MODULE.findall(whole))


def _note_project(document: Mapping[str, Any], found: Configured) -> None:
    project, poetry = _table(document, "project"), _table(document, "tool", "poetry")
    for table in (_table(project, "scripts"), _table(project, "gui-scripts"), _table(poetry, "scripts")):
        for name, target in table.items():
            _note_entry("console_scripts", f"{name} = {target}", found)
    for groups in (_table(project, "entry-points"), _table(poetry, "plugins")):
        for group in groups:
            for name, target in _table(groups, group).items():
                _note_entry(group, f"{name} = {target}", found)


def _note_setup(path: Path, found: Configured) -> None:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    for line in _texts(value):
                        _note_entry(key.value, line, found)


def _texts(node: ast.expr) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield from inner.value.splitlines()


def _note_entry(group: str, line: str, found: Configured) -> None:
    """Commands are started by name; what another program loads by its group is loaded whenever that program likes."""
    match = _ENTRY.match(line)
    if match is None:
        return
    if group in _SCRIPTS:
        found.scripts[match[1]] = match[2]
    else:
        found.words.add(match[2])


def _ini(path: Path) -> dict[str, dict[str, str]]:
    import iniconfig

    try:
        config = iniconfig.IniConfig("", data=path.read_text(encoding="utf-8"))
    except (OSError, ValueError, iniconfig.ParseError):
        return {}
    return {section.name: dict(section.items()) for section in config}


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _table(values: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        inner = values.get(name)
        if not isinstance(inner, Mapping):
            return {}
        values = inner
    return values
