"""The test files that the options ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from dt_action.discovery.globs import Matcher, glob_regex, slashes
from dt_action.discovery.pytest_config import read_pytest_config
from dt_action.discovery.test_types import TypeRules
from dt_action.discovery.walk import accepted_by, walk
from dt_action.errors import ConfigurationError, NoTestsError
from dt_action.model.case import OTHER_TYPE, TestFile
from dt_action.options import Settings


def discover(settings: Settings, environ: Mapping[str, str]) -> tuple[TestFile, ...]:
    """
    The test files, in pytest's order, with paths relative to `settings.root`.

    May hold files that pytest then ignores, because a conftest file computes what to ignore; never misses one.
    Raises ConfigurationError for a named file or directory that is not there, NoTestsError where the test types
    leave nothing.
    """
    rules = TypeRules(settings.test_types or {})
    wanted = _wanted_types(settings, rules)
    root = Path(os.path.abspath(settings.root))  # noqa: PTH100 - links stay as the user wrote them
    found = list(dict.fromkeys(_named(settings, root) if settings.test_files else _searched(settings, root, environ)))
    files = [(path, rules.types_of(path, _source(root / path))) for path in found]
    if wanted is None:
        return tuple(TestFile(path=path, test_type=types[0] if types else "") for path, types in files)
    chosen = [(path, [name for name in types or (OTHER_TYPE,) if name in wanted]) for path, types in files]
    kept = tuple(
        TestFile(path=path, test_type="" if types[0] == OTHER_TYPE else types[0]) for path, types in chosen if types
    )
    if files and not kept:
        there = sorted({name for _, types in files for name in types})
        raise NoTestsError(
            f"none of the {len(files)} test files is of type {' or '.join(wanted)}"
            f"; their types are: {', '.join(there) or 'none at all'}",
            hint="a type comes from a marker, a directory, a file's name or [tool.dt.test-types]",
        )
    return kept


def _wanted_types(settings: Settings, rules: TypeRules) -> tuple[str, ...] | None:
    if not settings.test_type or "all" in settings.test_type:
        return None
    unknown = [name for name in settings.test_type if name not in (*rules.known, OTHER_TYPE)]
    if unknown:
        source, known = settings.told_by("test_type"), ", ".join([*rules.known, OTHER_TYPE])
        raise ConfigurationError(
            f"{source} names {', '.join(map(repr, unknown))}; expected all, or of {known}",
            hint=f'for a type of your own, add to [tool.dt.test-types]: {unknown[0]} = ["tests/{unknown[0]}/**"]',
        )
    return settings.test_type


def _named(settings: Settings, root: Path) -> list[str]:
    """The files that the user named; all that are missing are told at once."""
    missing = [name for name in settings.test_files if not (root / name).is_file()]
    if missing:
        source = settings.told_by("test_files")
        problems = [_missing(name, root, source) for name in missing]
        raise ConfigurationError.of_all(problems)
    return [_relative(os.path.abspath(root / name), root) for name in settings.test_files]  # noqa: PTH100


def _missing(name: str, root: Path, source: str) -> ConfigurationError:
    if (root / name).is_dir():
        return ConfigurationError(f"{source} names {name!r}, which is a directory", hint=f"use --test-dir {name}")
    file, colons, rest = name.partition("::")
    if colons:
        return ConfigurationError(
            f"{source} names {name!r}; expected a file", hint=f'use --test-files {file} --pytest-args "-k {rest}"'
        )
    return ConfigurationError(f"{source} names {name!r}, which is not in {root}", hint="correct the name or remove it")


def _searched(settings: Settings, root: Path, environ: Mapping[str, str]) -> Iterator[str]:
    starts = list(_starts(settings, root))
    config = read_pytest_config(root, starts, settings.pytest_args, environ)
    base = starts[0] if settings.test_dir and starts else root
    accepts = _matching(settings.test_pattern, base) if settings.test_pattern else accepted_by(config)
    for start in starts or config.starts(root):
        if start.is_file():
            yield _relative(str(start), root)
            continue
        for path in walk(start, config, accepts):
            yield _relative(path, root)


def _starts(settings: Settings, root: Path) -> Iterator[Path]:
    """The directories and files that the user named, in that order; all that are missing are told at once."""
    if settings.test_dir:
        yield _start(settings.test_dir, root, f"{settings.told_by('test_dir')} is")
    problems = []
    for named in settings.paths:
        if "--pyargs" in settings.pytest_args and not (root / named.partition("::")[0]).exists():
            continue  # a module's name, which only pytest can find
        try:
            yield _start(named.partition("::")[0], root, "the command line names")
        except ConfigurationError as error:
            problems.append(error)
    if problems:
        raise ConfigurationError.of_all(problems)


def _start(named: str, root: Path, source: str) -> Path:
    found = Path(os.path.abspath(root / named))  # noqa: PTH100 - links stay as the user wrote them
    if not found.exists():
        raise ConfigurationError(
            f"{source} {named!r}, which is not in {root}",
            hint="name the directory of the tests, or leave it out to search where pytest does",
        )
    return found


def _matching(glob: str, base: Path) -> Matcher:
    pattern, prefix = glob_regex(glob), len(str(base)) + 1
    return lambda _name, path: pattern.match(slashes(path[prefix:])) is not None


def _relative(path: str, root: Path) -> str:
    try:
        return slashes(os.path.relpath(path, root))
    except ValueError as error:  # another drive of Windows
        raise ConfigurationError(
            f"{path} is not on the drive of {root}", hint="start dt on the tests' drive"
        ) from error


def _source(path: Path) -> bytes:
    """The file's bytes; none where it cannot be read, which pytest will tell."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
