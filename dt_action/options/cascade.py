"""
Which value wins: flag, then environment, then configuration file, then default; and all mistakes told at once.

An image, or a workflow around dt, has defaults of its own: `DT_DEFAULT_*`, which a configuration file outranks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dt_action.errors import ConfigurationError
from dt_action.model.plan import Shard
from dt_action.options.config_file import closest_word, read_config
from dt_action.options.flat_layout import HYPHENATED, is_scanned_for_packages
from dt_action.options.kinds import Kind
from dt_action.options.parallel_jobs import shard_of
from dt_action.options.table import DEFAULT, OPTIONS, Option, Settings, Source

DEFAULTS = "DT_DEFAULT_"
_START = "working_directory"


def resolve(flags: Mapping[str, object], environ: Mapping[str, str], root: Path) -> Settings:
    """
    The settings for a run that starts in `root`. `flags` holds what the command line gave, by the option's name.

    Raises ConfigurationError that tells every mistake, each with what was expected, found, and from where.
    """
    problems: list[ConfigurationError] = []
    root = _start(flags, environ, root, problems)
    written = read_config(root, [row.key for row in OPTIONS if row.name != _START], problems)
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for row in OPTIONS:
        given = next(_given(row, flags, environ, written), None)
        if given is None:
            sources[row.name] = DEFAULT
            continue
        raw, sources[row.name] = given
        try:
            values[row.name] = row.kind.read(raw)
        except ValueError:
            problems.append(_refused(row, raw, sources[row.name]))
    _choose_fleet(values, sources, problems)
    copies = shard_of(environ, root) if sources["shard"] is DEFAULT else None
    if copies:
        values["shard"], sources["shard"] = copies[0], Source(rank=1, text=copies[1])
    if sources["output_dir"] is DEFAULT and is_scanned_for_packages(root):
        values["output_dir"] = HYPHENATED
        sources["output_dir"] = Source(rank=3, text="the default where setuptools looks for packages by itself")
    if values.get("shard") == Shard(index=1, count=1):
        values["shard"] = None  # the only share is everything
    if problems:
        raise ConfigurationError.of_all(problems)
    return Settings(root=root, sources=sources, **values)


def read_flags(flags: Mapping[str, object], names: Sequence[str]) -> dict[str, Any]:
    """
    The values of some options for a command that has no other source than its flags; defaults for the rest.

    Raises ConfigurationError as `resolve` does.
    """
    problems: list[ConfigurationError] = []
    values: dict[str, Any] = {}
    for row in OPTIONS:
        if row.name in names:
            values[row.name] = row.default
            try:
                values[row.name] = row.kind.read(flags[row.name]) if row.name in flags else row.default
            except ValueError:
                problems.append(_refused(row, flags[row.name], Source(rank=0, text=row.flag)))
    if problems:
        raise ConfigurationError.of_all(problems)
    return values


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for test code: all but dt's own credentials."""
    hidden = set(secret_variables())
    return {name: value for name, value in environ.items() if name.upper() not in hidden}


def secret_variables() -> tuple[str, ...]:
    """The environment variables that hold dt's own credentials."""
    return tuple(name for row in OPTIONS if row.secret for name in row.environment)


_SECRET_NAME = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY)$", re.IGNORECASE)
USER_INFO = r"(?<=://)[^\s/:@]{0,100}:[^\s/@]{1,200}(?=@)"
"""RFC 3986, 3.2.1: user:password of an address. Many tests have one in their id that is nobody's."""

_SECRET_VALUE = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[^\s/][^\s]{15,}\Z")
"""Longer than the password of a database in a container, which tests may well have in their names."""


def secret_values(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """
    The values that no output may show: those of secret options, those that the user asks to mask, long ones of
    variables that are called like a secret, and user and password of every address in a variable.

    A workflow around dt names in `DT_REDACT_ALSO` what it keeps secret, whatever the user says besides.
    """
    values = [getattr(settings, row.name) for row in OPTIONS if row.secret]
    named = [*settings.redact, *environ.get("DT_REDACT_ALSO", "").split()]
    values += [value for name, value in environ.items() if _SECRET_NAME.search(name) and _SECRET_VALUE.match(value)]
    values += [found for value in environ.values() if "://" in value for found in re.findall(USER_INFO, value)]
    return tuple(dict.fromkeys(str(value) for value in [*values, *map(environ.get, named)] if value))


def _start(
    flags: Mapping[str, object], environ: Mapping[str, str], root: Path, problems: list[ConfigurationError]
) -> Path:
    """Where dt starts: that decides which configuration file there is, so none can say it."""
    row = next(row for row in OPTIONS if row.name == _START)
    given = next(_given(row, flags, environ, {}), None)
    if given is None:
        return root
    name, source = str(given[0]).strip(), given[1]
    if not (root / name).is_dir():
        hint = "name one such as packages/core, relative to where dt is started"
        problems.append(ConfigurationError(f"{source.text} is {name!r}, which is no directory in {root}", hint=hint))
        return root
    return Path(os.path.normpath(root / name))


def _given(
    row: Option, flags: Mapping[str, object], environ: Mapping[str, str], written: Mapping[str, tuple[object, str]]
) -> Iterator[tuple[object, Source]]:
    """Every value that was given for an option, strongest first. An empty variable counts as not given."""
    if flags.get(row.name) is not None:
        yield flags[row.name], Source(rank=0, text=row.flag if row.has_flag else row.name)
    if row.has_flag:
        for name in row.environment:
            if environ.get(name, "").strip():
                is_input = name.startswith("INPUT_")
                yield (
                    environ[name],
                    Source(rank=1, text=f"input {row.input}" if is_input else f"environment variable {name}"),
                )
    if row.key in written:
        raw, file = written[row.key]
        yield raw, Source(rank=2, text=f"{row.key} in {file}")
    of_surroundings = f"{DEFAULTS}{row.key.replace('-', '_').upper()}"
    if row.has_flag and environ.get(of_surroundings, "").strip():
        yield environ[of_surroundings], Source(rank=3, text=f"the default {of_surroundings}")


def _refused(row: Option, raw: object, source: Source) -> ConfigurationError:
    found = "a value that cannot be used" if row.secret else repr(raw)[:200]
    hint = f"write {_as_written(row.kind, row, source)}"
    closest = closest_word(str(raw), row.kind.choices)
    if closest:
        hint = f"did you mean {closest!r}?"
    return ConfigurationError(f"{source.text} is {found}; expected {row.kind.expected}", hint=hint)


def _as_written(kind: Kind[Any], row: Option, source: Source) -> str:
    example = kind.example
    if kind.is_table:
        return f"{row.key} = {example}"
    if source.rank == 0:
        return f'{row.flag} "{example}"' if " " in example else f"{row.flag} {example}"
    if source.rank == 1 and source.text.startswith("input "):
        return f"{row.input}: {example}"
    if source.rank == 1:
        return f"{source.text.split()[-1]}={example}"
    quoted = f'"{example}"'
    if source.text.endswith("pyproject.toml"):
        return f"{row.key} = [{quoted}]" if kind.many else f"{row.key} = {quoted}"
    return f"{row.key}: [{quoted}]" if kind.many else f"{row.key}: {quoted}"


def _choose_fleet(values: dict[str, Any], sources: dict[str, Source], problems: list[ConfigurationError]) -> None:
    """A coordinator's address makes it the fleet, unless something as strong or stronger names another one."""
    address = sources["coordinator"]
    if "coordinator" in values and address.rank < sources["fleet"].rank:
        values["fleet"] = "coordinator"
        sources["fleet"] = Source(rank=address.rank, text=f"{address.text}, which makes it the fleet")
    if values.get("fleet") == "coordinator" and sources["coordinator"] is DEFAULT:
        problems.append(
            ConfigurationError(
                f"{sources['fleet'].text} is 'coordinator', but no address of one is given",
                hint="add --coordinator https://dt.example.org, or set COORDINATOR_URL",
            )
        )
