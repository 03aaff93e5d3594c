"""The configuration file of a project: `[tool.dt]` of pyproject.toml, or dt.yml."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dt_action.errors import ConfigurationError

CONFIG_FILES = ("pyproject.toml", "dt.yml", "dt.yaml")


def read_config(root: Path, known: Sequence[str], problems: list[ConfigurationError]) -> dict[str, tuple[object, str]]:
    """The configuration file's values by key, each with the file it stands in. Hyphens and underscores are one."""
    found = [(name, table) for name in CONFIG_FILES if (table := _load(root / name, problems)) is not None]
    if len(found) > 1:
        names = " and ".join(f"[tool.dt] in {name}" if name == "pyproject.toml" else name for name, _ in found)
        problems.append(ConfigurationError(f"two configurations: {names}; expected one", hint="keep one of them"))
        return {}
    values: dict[str, tuple[object, str]] = {}
    for file, table in found:
        where = f"[tool.dt] of {file}" if file == "pyproject.toml" else file
        for written, value in table.items():
            key = str(written).replace("_", "-")
            if key not in known:
                closest = closest_word(key, known)
                problems.append(
                    ConfigurationError(
                        f"{where} has the key {str(written)!r}, which is no option of dt",
                        hint=f"did you mean {closest!r}?" if closest else "`dt config` lists all options",
                    )
                )
            elif key in values:
                problems.append(ConfigurationError(f"{where} gives {key!r} twice, as {written!r} and otherwise"))
            else:
                values[key] = (value, where)
    return values


def _load(path: Path, problems: list[ConfigurationError]) -> Mapping[str, object] | None:
    """The table of options in a file; None where there is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".toml" and not re.search(r"\bdt\b", text):  # spares most projects the parser
            return None
        table = _tool_dt(parse_toml(text)) if path.suffix == ".toml" else _parse_yaml(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        problems.append(
            ConfigurationError(f"{path.name} cannot be read: {error}", hint=f"correct {path}, or remove it")
        )
        return None
    if table is None or isinstance(table, Mapping):
        return table
    problems.append(
        ConfigurationError(
            f"{path.name} holds a {type(table).__name__}; expected a table of options", hint="write timeout: 5m"
        )
    )
    return None


def parse_toml(text: str) -> dict[str, object]:
    """A TOML document. Raises ValueError where it is not one."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    document: dict[str, object] = tomllib.loads(text)
    return document


def _tool_dt(document: Mapping[str, object]) -> object:
    tool = document.get("tool")
    return tool.get("dt") if isinstance(tool, Mapping) else None


def _parse_yaml(text: str) -> object:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from error


def closest_word(found: str, known: Sequence[str]) -> str:
    """The known word that `found` is probably a slip of; empty where none is near."""
    if not known:
        return ""
    from difflib import get_close_matches

    return next(iter(get_close_matches(found, known, n=1, cutoff=0.7)), "")
