"""What pytest would read in a project's configuration about where its tests are. Nothing is imported or run."""

from __future__ import annotations

import argparse
import glob
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dt_action.errors import ConfigurationError
from dt_action.options.config_file import parse_toml

NO_RECURSE = ("*.egg", ".*", "_darcs", "build", "CVS", "dist", "node_modules", "venv", "{arch}")
"""pytest's default for `norecursedirs` (_pytest/main.py)."""

Values = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class PytestConfig:
    """
    Where pytest looks for tests. Paths are absolute; `rootdir` is what node ids are relative to.

    `words` are pytest's options from all places: its file, its variable, its command line.
    """

    rootdir: Path
    file: Path | None = None
    python_files: tuple[str, ...] = ("test_*.py", "*_test.py")
    testpaths: tuple[str, ...] = ()
    norecursedirs: tuple[str, ...] = NO_RECURSE
    ignored: frozenset[str] = frozenset()
    ignored_globs: tuple[str, ...] = ()
    doctest_modules: bool = False
    doctest_globs: tuple[str, ...] = ("test*.txt",)
    enters_virtualenvs: bool = False
    reads_conftests: bool = True
    words: tuple[str, ...] = ()

    def starts(self, invoked_in: Path) -> tuple[Path, ...]:
        """Where pytest begins when it is given no path: `testpaths`, where it was started in the root directory."""
        found: list[str] = []
        if invoked_in == self.rootdir:
            for pattern in self.testpaths:
                found += sorted(glob.glob(pattern, root_dir=invoked_in, recursive=True))  # noqa: PTH207 - as pytest
        return tuple(dict.fromkeys(invoked_in / path for path in found)) or (invoked_in,)


def read_pytest_config(
    invoked_in: Path, paths: Sequence[Path], arguments: Sequence[str], environ: Mapping[str, str]
) -> PytestConfig:
    """
    The configuration that `pytest ARGUMENTS PATHS` started in `invoked_in` would use.

    Raises ConfigurationError where pytest would refuse the file, too.
    """
    early = _parse([*_split(environ.get("PYTEST_ADDOPTS", ""), "PYTEST_ADDOPTS"), *arguments])
    rootdir, file, values = _locate(invoked_in, paths, early)
    values.update(_overrides(early))
    where = f"addopts in {file}"
    words = (*_words(values.get("addopts"), where), *_split(environ.get("PYTEST_ADDOPTS", ""), where), *arguments)
    options = _parse(words)
    values.update(_overrides(options))
    default = PytestConfig(rootdir=rootdir)
    return PytestConfig(
        rootdir=rootdir,
        file=file,
        python_files=_words(values.get("python_files"), str(file)) or default.python_files,
        testpaths=_words(values.get("testpaths"), str(file)),
        norecursedirs=_words(values.get("norecursedirs"), str(file)) or default.norecursedirs,
        ignored=frozenset(os.path.abspath(invoked_in / path) for path in options.ignore),  # noqa: PTH100 - no links
        ignored_globs=tuple(os.path.abspath(invoked_in / path) for path in options.ignore_glob),  # noqa: PTH100
        doctest_modules=options.doctest_modules,
        doctest_globs=() if "no:doctest" in options.plugins else tuple(options.doctest_glob) or default.doctest_globs,
        enters_virtualenvs=options.collect_in_virtualenv,
        reads_conftests=not options.noconftest,
        words=words,
    )


def keeps_files_whole(
    invoked_in: Path, paths: Sequence[Path], arguments: Sequence[str], environ: Mapping[str, str]
) -> bool:
    """True where the project has pytest-xdist keep files, or all functions of a file, on one worker (`--dist`)."""
    config = read_pytest_config(invoked_in, paths, arguments, environ)
    values = (_read(config.file) if config.file else None) or {}
    words = [*_words(values.get("addopts"), ""), *_split(environ.get("PYTEST_ADDOPTS", ""), ""), *arguments]
    return _parse(words).dist in ("loadfile", "loadscope")


def _locate(invoked_in: Path, paths: Sequence[Path], options: argparse.Namespace) -> tuple[Path, Path | None, Values]:
    """The root directory, the file and its values, by pytest's rules (_pytest/config/findpaths.py)."""
    dirs = [path if path.is_dir() else path.parent for path in paths if path.exists()]
    ancestor = Path(os.path.commonpath(dirs)) if dirs else invoked_in
    if options.config_file:
        file = invoked_in / options.config_file
        found = (file.parent, file, _read(file) or {})
    else:
        found = (
            _nearest([ancestor])
            or next(((base, None, {}) for base in (ancestor, *ancestor.parents) if (base / "setup.py").is_file()), None)
            or _nearest(dirs)
            or (Path(os.path.commonpath([invoked_in, ancestor])), None, {})
        )
    rootdir, file_found, values = found
    return (invoked_in / os.path.expandvars(options.rootdir) if options.rootdir else rootdir), file_found, values


def _nearest(starts: Iterable[Path]) -> tuple[Path, Path | None, Values] | None:
    pyproject: Path | None = None
    for start in starts:
        for base in (start, *start.parents):
            for name in READERS:
                file = base / name
                if not file.is_file():
                    continue
                if name == "pyproject.toml":
                    pyproject = pyproject or file
                values = _read(file)
                if values is not None:
                    return base, file, values
    return (pyproject.parent, pyproject, {}) if pyproject else None


def _read(file: Path) -> Values | None:
    """The file's values for pytest; None where it has none."""
    reader = READERS.get(file.name) or {".toml": _pyproject, ".cfg": _setup_cfg}.get(file.suffix, _tox_ini)
    try:
        return reader(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error}", hint="pytest refuses it, too; correct it"
        ) from error


def _pytest_toml(text: str) -> Values | None:
    return _table(parse_toml(text).get("pytest"))


def _pyproject(text: str) -> Values | None:
    if "pytest" not in text:
        return None
    table = _table(_table(parse_toml(text).get("tool")).get("pytest"))
    native = {key: value for key, value in table.items() if key != "ini_options"}
    return native or (_table(table["ini_options"]) if "ini_options" in table else None)


def _pytest_ini(text: str) -> Values | None:
    return _section(text, "pytest") or {}


def _tox_ini(text: str) -> Values | None:
    return _section(text, "pytest")


def _setup_cfg(text: str) -> Values | None:
    return _section(text, "tool:pytest")


READERS: dict[str, Callable[[str], Values | None]] = {
    "pytest.toml": _pytest_toml,
    ".pytest.toml": _pytest_toml,
    "pytest.ini": _pytest_ini,
    ".pytest.ini": _pytest_ini,
    "pyproject.toml": _pyproject,
    "tox.ini": _tox_ini,
    "setup.cfg": _setup_cfg,
}
"""Strongest first, as pytest 9 looks for them in each directory."""


def _section(text: str, name: str) -> Values | None:
    import iniconfig

    if f"[{name}]" not in text:
        return None
    try:
        config = iniconfig.IniConfig("", data=text)
    except iniconfig.ParseError as error:
        raise ValueError(error) from error
    return dict(config[name].items()) if name in config else None


def _table(value: object) -> Values:
    return dict(value) if isinstance(value, Mapping) else {}


def _words(value: object, where: str) -> tuple[str, ...]:
    if isinstance(value, (list, tuple)):
        return tuple(str(item) for item in value)
    return _split(value, where) if isinstance(value, str) else ()


def _split(text: str, where: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigurationError(f"{where} is {text!r}: {error}; expected shell-like words") from error


class _Quiet(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The few options of pytest that say where tests are; all others are left to pytest."""
    parser = _Quiet(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--config-file")
    parser.add_argument("--rootdir")
    parser.add_argument("-o", "--override-ini", action="append", default=[])
    parser.add_argument("-p", dest="plugins", action="append", default=[])
    parser.add_argument("--ignore", action="append", default=[])
    parser.add_argument("--ignore-glob", action="append", default=[])
    parser.add_argument("--doctest-modules", action="store_true")
    parser.add_argument("--doctest-glob", action="append", default=[])
    parser.add_argument("--collect-in-virtualenv", action="store_true")
    parser.add_argument("--dist")
    parser.add_argument("--noconftest", action="store_true")
    try:
        return parser.parse_known_args(arguments)[0]
    except ValueError as error:
        raise ConfigurationError(
            f"pytest's arguments {' '.join(arguments)!r} cannot be read: {error}", hint="see `pytest --help`"
        ) from error


def _overrides(options: argparse.Namespace) -> Values:
    pairs = (item.partition("=") for item in options.override_ini)
    return {name: value for name, _, value in pairs}
