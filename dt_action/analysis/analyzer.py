"""The port `Analyzer`, by reading code: needs by file, cached by content, spread over processes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dt_action.analysis.cache import NeedsCache
from dt_action.model.case import TestFile
from dt_action.model.hardware import FileNeeds

if TYPE_CHECKING:
    from dt_action.analysis.explicit import PathRule

WORTH_A_PROCESS = 150
"""Files below which starting a process costs more than it saves."""
_NO_ROWS: Mapping[str, str] = {}


class StaticAnalyzer:
    """
    Reads the test files under `root`; never imports them.

    `path_rules` are configuration: they outrank what is inferred, and give way to marks and pragmas. `vocabulary` are
    the project's own rows, by name. With a `cache_dir` only changed files are read again. `processes` is how many may
    work at once, 0 for one a processor.
    """

    def __init__(
        self,
        *,
        root: Path,
        cache_dir: Path | None = None,
        path_rules: Sequence[PathRule] = (),
        vocabulary: Mapping[str, str] = _NO_ROWS,
        processes: int = 0,
    ) -> None:
        self._root = root
        self._cache_dir = cache_dir
        self._rules = tuple(path_rules)
        self._vocabulary = vocabulary
        self._processes = processes or os.cpu_count() or 1

    def analyze(self, files: Sequence[TestFile]) -> Mapping[str, FileNeeds]:
        """The needs by path. A file that cannot be read or parsed needs nothing and has a finding."""
        paths = [file.path for file in files]
        cache = self._cache()
        known = cache.load(paths) if cache else {}
        missing = [path for path in dict.fromkeys(paths) if path not in known]
        if not missing:
            return known
        from dt_action.analysis.batch import analyze_apart, analyze_here  # reading code takes a fifth of dt's modules
        from dt_action.analysis.codec import decode

        processes = min(self._processes, len(missing) // WORTH_A_PROCESS)
        if processes > 1:
            found = analyze_apart(self._root, missing, self._rules, self._vocabulary, processes=processes)
        else:
            found = analyze_here(self._root, missing, self._rules, self._vocabulary)
        if cache and found:
            cache.save(found)
        return {**known, **{path: decode(needs) for path, (needs, _) in found.items()}}

    def _cache(self) -> NeedsCache | None:
        if self._cache_dir is None:
            return None
        rules = [[rule.pattern, dict(rule.fields)] for rule in self._rules]
        settings = json.dumps([rules, dict(self._vocabulary)], default=str, sort_keys=True)
        return NeedsCache(self._cache_dir, root=self._root, settings=settings)
