"""
Write the name of the repository that releases into every file that names this project's own.

    python tools/release_names.py --repository OWNER/REPOSITORY [--registry ghcr.io]

In the sources the owner is `org`, which is nobody's promise. The release runs this on its checkout, so that the action,
the reusable workflow, the templates and the docs of a release name the code and the image of who released it; a fork
releases under its own name without an edit.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

OWN = "org/distributed-testing"
_IMAGE = re.compile(r"(?<![\w.-])ghcr\.io/org/distributed-testing(?![\w-])")
_REPOSITORY = re.compile(r"(?<![\w.-])org/distributed-testing(?![\w-])")
_ORG = re.compile(r"(?<![\w.-])org/(?!distributedtesting/)")  # the folder of a Groovy package is no owner
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")
ELSEWHERE = ("tests/", "benchmarks/", "tools/", ".github/release/", "CHANGELOG.md")
"""What a release leaves as it is: made-up repositories in tests, tools of this repository, and what was."""


def renamed(text: str, repository: str, registry: str) -> str:
    """`text` with the repository's own name; images are named in lower case, as registries want it."""
    return _REPOSITORY.sub(repository, _IMAGE.sub(f"{registry}/{repository.lower()}", text))


def left(text: str) -> list[str]:
    """The lines that still name `org`."""
    return [line.strip() for line in text.splitlines() if _ORG.search(line)]


def files(root: Path) -> Iterator[Path]:
    """The tracked text files that a release names itself in."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith(ELSEWHERE) and (root / name).is_file() and b"\0" not in (root / name).read_bytes():
            yield root / name


def main(argv: Sequence[str]) -> int:
    """Rewrite the files of the checkout; 1 where something still names `org`, and it is told."""
    parser = argparse.ArgumentParser(description="write the name of the repository that releases")
    parser.add_argument("--repository", required=True, help="OWNER/REPOSITORY, as the CI service names it")
    parser.add_argument("--registry", default="ghcr.io", help="host of the image's registry [ghcr.io]")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1])
    options = parser.parse_args(argv)
    if not _NAME.fullmatch(options.repository):
        parser.error(f"expected OWNER/REPOSITORY, found {options.repository!r}")
    faults = []
    for path in files(options.root):
        before = path.read_bytes().decode("utf-8", "surrogateescape")
        after = renamed(before, options.repository, options.registry)
        if after != before:
            path.write_bytes(after.encode("utf-8", "surrogateescape"))
            print(path.relative_to(options.root))
        if options.repository != OWN:
            faults += [f"{path.relative_to(options.root)}: {line}" for line in left(after)]
    print(*faults, sep="\n", file=sys.stderr, end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
