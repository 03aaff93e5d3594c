"""What makes a remark the same one in the next run, for services that follow remarks from commit to commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dt_action.model.report import Annotation


def on_lines(annotations: Sequence[Annotation]) -> Iterator[tuple[Annotation, str]]:
    """
    The remarks that stand on a line, which is where services can show them, each with its fingerprint.

    It leaves out the line, so that a remark stays the same one when code above it moves.
    """
    from hashlib import sha256

    seen: dict[str, int] = {}
    for remark in annotations:
        if not remark.path:
            continue
        key = f"{remark.path}\0{remark.title}\0{remark.level}"
        seen[key] = seen.get(key, 0) + 1
        yield remark, sha256(f"{key}\0{seen[key]}".encode("utf-8", "replace")).hexdigest()
