"""Fills the templates of the reports: the built-in ones, or those of the user, which Jinja renders in a sandbox."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from dt_action.errors import ConfigurationError

BUILT_IN = Path(__file__).parent.parent / "templates"
_NAME = re.compile(r"\{\{ (\w+) \}\}")


def source(name: str, template_dir: Path | None) -> str:
    """The text of a template, style sheet or script: the user's where there is one of that name."""
    if template_dir:
        try:
            return (template_dir / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            pass
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the template {template_dir / name} cannot be read: {error}") from None
    return _built_in(name)


def fill(name: str, parts: Mapping[str, str], facts: Mapping[str, object], *, template_dir: Path | None) -> str:
    """
    The template with its `parts` (finished pieces of the document) and, for a user's template, `facts` (the run).

    The built-in templates hold nothing but the names of parts and are filled without Jinja, whose import takes
    longer than everything else that a small run's reports need; a test holds that Jinja would give the same bytes.
    """
    if template_dir and (template_dir / name).is_file():
        return _by_jinja(name, parts, facts, template_dir)
    return _NAME.sub(lambda match: parts[match.group(1)], _built_in(name))


@cache
def _built_in(name: str) -> str:
    return (BUILT_IN / name).read_text(encoding="utf-8")


def _by_jinja(name: str, parts: Mapping[str, str], facts: Mapping[str, object], template_dir: Path) -> str:
    from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from markupsafe import Markup

    is_html = ".html" in name
    environment = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(template_dir), FileSystemLoader(BUILT_IN)]),
        autoescape=is_html,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    # Parts were rendered by templates of their own, and escaped there.
    markup = Markup if is_html else str
    finished = {key: markup(part) for key, part in parts.items()}
    try:
        return environment.get_template(name).render({**facts, **finished})
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise ConfigurationError(
            f"the template {template_dir / name}{f', line {line}' if line else ''} cannot be rendered: {error}",
            hint=f"it may use {', '.join(sorted(finished))} and {', '.join(sorted(facts))}; see docs/reports.md",
        ) from None
