"""Who owns a file, by the project's CODEOWNERS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dt_action.model.change import Owned

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
"""
Where GitHub and GitLab look; the first that is there counts.
https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

MOST_BYTES = 3 << 20
"""GitHub ignores a larger file."""

_WORD = re.compile(r"(?:\\.|[^\s\\])+")
_PARTS = {"/**/": "/(?:.*/)?", "**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_SECTION = re.compile(r"\^?\[(?P<name>[^\]]+)\](?:\[\d+\])?(?P<owners>(?:\s+[^#]*)?)")


@dataclass(frozen=True, slots=True)
class Owners:
    """The rules of a file, as patterns with their owners; the last one that matches a path counts."""

    rules: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = ()

    def owners_of(self, path: str) -> tuple[str, ...]:
        """The owners of a path relative to the repository's top; none where no rule has one."""
        return next((owners for pattern, owners in reversed(self.rules) if pattern.match(path)), ())

    def of_all(self, files: Mapping[str, str]) -> Iterator[Owned]:
        """The files that have owners, sorted, by the path of each relative to the repository's top."""
        for file, path in sorted(files.items()):
            owners = self.owners_of(path) if path else ()
            if owners:
                yield Owned(path=file, owners=owners)


def read_owners(top: Path) -> Owners:
    """The owners that the repository with its top at `top` names; none where there is no file that can be read."""
    for place in PLACES:
        path = top / place
        try:
            if path.is_file() and path.stat().st_size <= MOST_BYTES:
                return parse_owners(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return Owners()


def parse_owners(text: str) -> Owners:
    """
    The rules in a CODEOWNERS file. Lines that cannot be understood are left out, as both services do.

    GitLab's sections are understood so far that a rule without owners takes those of its section.
    """
    rules = []
    of_section: tuple[str, ...] = ()
    for line in text.splitlines():
        stripped = line.strip()
        section = _SECTION.fullmatch(stripped)
        if section:
            of_section = tuple(section["owners"].split())
            continue
        words = _WORD.findall(stripped)
        if not words or words[0].startswith("#"):
            continue
        owners = tuple(_until_comment(words[1:])) or of_section
        rules.append((_pattern(words[0].replace("\\ ", " ").replace("\\#", "#")), owners))
    return Owners(tuple(rules))


def _until_comment(words: list[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("#"):
            return
        yield word


def _pattern(glob: str) -> re.Pattern[str]:
    """gitignore's patterns without `!` and `[]`, which CODEOWNERS does not have."""
    is_anchored = "/" in glob.rstrip("/")
    path = glob.strip("/")
    is_folder = glob.endswith("/")
    body = "".join(_PARTS.get(part, re.escape(part)) for part in re.split(r"(/\*\*/|\*\*/|/\*\*|\*\*|\*|\?)", path))
    start = "" if is_anchored or path.startswith("**/") else "(?:.*/)?"
    if is_folder:
        end = "/.*"
    elif path.endswith("/*"):  # the files in a folder, not those in the folders below
        end = ""
    else:
        end = "(?:/.*)?"
    return re.compile(f"{start}{body}{end}\\Z", re.DOTALL)
