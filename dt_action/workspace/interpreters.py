"""Interpreters by version: what a project asks for, which one fits, and where it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

VERSION = re.compile(r"3\.\d{1,2}(\.\d{1,3})?")
"""What `--python` may say instead of a path."""

KNOWN = tuple(f"3.{minor}" for minor in range(15, 8, -1))
"""Versions that are looked for where a project takes any of several, the newest first."""

_CLAUSE = re.compile(r"(\^|~=|~|===|==|!=|<=|>=|<|>|)\s*v?(\d+(?:\.\d+)*)(\.\*)?")
_TIMEOUT_S = 600.0
_LOOK_TIMEOUT_S = 60.0


def uv_at(environ: Mapping[str, str]) -> str | None:
    """uv, on the path or beside the interpreter of dt; None where there is none."""
    beside = Path(sys.executable).parent / ("uv.exe" if os.name == "nt" else "uv")
    return shutil.which("uv", path=environ.get("PATH")) or (str(beside) if beside.is_file() else None)


def find(version: str, environ: Mapping[str, str]) -> str | None:
    """The path of an interpreter of a version such as `3.12`: one on the path, else uv's, which may download it."""
    on_path = shutil.which(f"python{version}", path=environ.get("PATH"))
    if on_path and _says(on_path, environ).startswith(version):
        return on_path
    uv = uv_at(environ)
    if uv is None:
        return None
    for command in ([uv, "python", "find", version], [uv, "python", "install", "--quiet", version]):
        done = said_by(command, environ, _TIMEOUT_S)
        if command[2] == "install" and done is not None:
            done = said_by([uv, "python", "find", version], environ, _LOOK_TIMEOUT_S)
        if done:
            return done
    return None


def find_any(wanted: str, environ: Mapping[str, str]) -> str | None:
    """An interpreter that fits `wanted` (`>=3.9,<3.12`), the newest that there is or that uv can bring."""
    fitting = [version for version in KNOWN if fits(version, wanted)]
    here = (shutil.which(f"python{version}", path=environ.get("PATH")) for version in fitting)
    found = next((path for path in here if path and fits(_says(path, environ), wanted)), None)
    return found or next((path for version in fitting[:2] if (path := find(version, environ))), None)


def version_of(python: str, environ: Mapping[str, str]) -> str:
    """`3.13.1`; empty where it cannot be asked."""
    if os.path.realpath(python) == os.path.realpath(sys.executable):
        return ".".join(map(str, sys.version_info[:3]))
    return _says(python, environ)


def fits(version: str, wanted: str) -> bool:
    """
    True where a version (`3.12` stands for its newest release) is within a specifier such as `>=3.9,<3.12`, `^3.9`.

    Clauses that are not understood exclude nothing: pip will tell. `||` separates Poetry's alternatives.
    """
    numbers = _numbers(version)
    if len(numbers) == 2:
        numbers = (*numbers, 999)
    return any(
        all(_holds(numbers, *clause) for clause in _CLAUSE.findall(alternative))
        for alternative in re.split(r"\|\|?", wanted)
    )


def _holds(version: tuple[int, ...], sign: str, text: str, star: str) -> bool:
    bound = _numbers(text)
    exact = (*bound, 0, 0)[: max(3, len(bound))]
    starts_so = version[: len(bound)] == bound
    if sign in ("", "==", "==="):
        return starts_so if star or not sign else version == exact
    if sign == "!=":
        return not starts_so if star else version != exact
    if sign in ("^", "~", "~="):
        kept = {"^": 1, "~": min(2, len(bound)), "~=": max(1, len(bound) - 1)}[sign]
        return version >= exact and version[:kept] == bound[:kept]
    return {"<": version < exact, "<=": version <= exact, ">": version > exact, ">=": version >= exact}[sign]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:4])


def _says(python: str, environ: Mapping[str, str]) -> str:
    """The version that an interpreter tells; empty where it does not start (a shim of a version that is not there)."""
    return (
        said_by([python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"], environ, _LOOK_TIMEOUT_S) or ""
    )


def said_by(
    command: list[str], environ: Mapping[str, str], timeout_s: float = _LOOK_TIMEOUT_S, *, root: Path | None = None
) -> str | None:
    """What a command prints, without blanks around it; None where it fails, for whatever reason."""
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
