"""The tests' interpreter and environment in a run's wiring, as the settings ask for them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from dt_action.errors import ConfigurationError
from dt_action.options import Settings, without_secrets
from dt_action.workspace import interpreters, project_python


def prepared(
    settings: Settings, environ: Mapping[str, str], say: Callable[[str], None]
) -> tuple[str, Mapping[str, str]]:
    """The interpreter and the environment variables, with what the settings want installed and set up."""
    variables = without_secrets(environ)
    python = tests_python(settings, variables)
    is_version = bool(settings.python and interpreters.VERSION.fullmatch(settings.python))
    if _looks_for_own(settings):
        say(_told(_own(settings.root, variables)))
    if not settings.requirements and not settings.setup and not is_version:
        return python, variables
    from dt_action.workspace.environments import prepare, run_command

    environment = prepare(
        settings.root,
        python,
        variables,
        requirements=requirements_of(settings, say),
        tools=("pytest", "coverage") if settings.coverage else ("pytest",),
        setup=settings.setup,
        run=run_command,
        say=say,
        is_own=is_version,
        may_choose="python" not in settings.sources or settings.sources["python"].rank == 3,
    )
    return environment.python, environment.variables


def requirements_of(settings: Settings, say: Callable[[str], None]) -> tuple[str, ...]:
    """The files that say what the tests need, where `auto` stands for the project's own."""
    from dt_action.workspace.environments import AUTO, own_requirements
    from dt_action.workspace.requirements import projects_below

    if settings.requirements != (AUTO,):
        return settings.requirements
    if settings.isolation == "container":  # an image has what its tests need
        return ()
    found = own_requirements(settings.root, settings.test_dir or "")
    if not found:
        below = ", ".join(projects_below(settings.root))
        hint = f"; there are projects in {below}: name one with --working-directory" if below else ""
        say(f"environment: the project says nothing of what its tests need{hint}")
    return found


def tests_python(settings: Settings, environ: Mapping[str, str]) -> str:
    """
    The absolute path of the interpreter in which the tests run; that of a version such as `3.12` is looked for.

    Where none is named it is the one that runs dt, or the project's where dt was installed as a tool beside it.
    Raises ConfigurationError where it is not there.
    """
    if not settings.python:
        own = _own(settings.root, environ).python if _looks_for_own(settings) else None
        return own or sys.executable
    told = settings.told_by("python")
    if interpreters.VERSION.fullmatch(settings.python):
        found = interpreters.find(settings.python, environ)
        if found:
            return found
        raise ConfigurationError(
            f"{told} is {settings.python}, and no Python {settings.python} was found on the path",
            hint="install it, or install uv, which brings any version where the network allows",
        )
    path = settings.root / settings.python
    found = str(path) if os.sep in settings.python or "/" in settings.python else shutil.which(settings.python)
    if found and Path(found).is_file():
        return os.path.abspath(found)  # noqa: PTH100 - resolving the link would leave the virtual environment
    raise ConfigurationError(
        f"{told} is {settings.python!r}; expected a Python interpreter, found no such file",
        hint="name one such as .venv/bin/python or python3.13, or leave it out for the one that runs dt",
    )


def _looks_for_own(settings: Settings) -> bool:
    """An environment that dt makes has all that the tests need, so that the project's own is no matter there."""
    is_open = not settings.python and not settings.requirements and settings.isolation != "container"
    return is_open and project_python.is_tool(Path(sys.prefix))


def _own(root: Path, environ: Mapping[str, str]) -> project_python.Found:
    return _found(root, tuple(sorted(without_secrets(environ).items())))


@cache  # interpreters are started for it
def _found(root: Path, variables: tuple[tuple[str, str], ...]) -> project_python.Found:
    return project_python.find(root, dict(variables))


def _told(found: project_python.Found) -> str:
    passed = f"; passed over, since there is no pytest in it: {', '.join(found.without_pytest)}"
    more = passed if found.without_pytest else ""
    if found.python:
        return f"environment: the tests run in {found.origin}, {found.python}{more}"
    return (
        f"environment: the tests run in dt's own, {sys.executable}: the project has none with pytest{more}; "
        "name one with --python, or let dt make one with --requirements auto"
    )
