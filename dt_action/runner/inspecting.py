"""
One real session of the project's pytest, which collects and tells what in it changes the way its tests are run.

`inspecting.py FILE AS_SCRIPT [ARGUMENT ...]` runs in the tests' own interpreter, and writes what it found to FILE.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any, Dict, List

bootstrap: Any = importlib.import_module("bootstrap")  # it lies beside this script


class Inspector:
    """The plugin that looks at a session; `found` is what it saw, as JSON."""

    def __init__(self, proof: Any) -> None:
        self.found: Dict[str, Any] = {}
        self._proof = proof
        self._began = time.perf_counter()

    def pytest_collection_finish(self, session: Any) -> None:
        """Everything is there: all plugins and conftests have had their say."""
        import pytest  # not before the project's own place is the first on sys.path

        config, proof = session.config, self._proof
        asked, config.option.collectonly = config.option.collectonly, False
        modules = {item.getparent(pytest.Module) for item in session.items} - {None}
        whole = proof.why_whole(config)
        after = proof.why_whole_after_import(session, iter(modules))
        self.found = {
            "tests": len(session.items),
            "files": len({item.nodeid.partition("::")[0] for item in session.items}),
            "seconds": time.perf_counter() - self._began,
            "plugins": _plugins(config),
            "one_process": proof.why_one_process(config),
            "controller": proof.why_controller(config),
            "whole": [*whole, *([after] if after and not whole else [])],
        }
        config.option.collectonly = asked


Inspector.pytest_collection_finish.__module__ = bootstrap.PACKAGE + ".inspecting"  # of ours, and no reason for anything


def _plugins(config: Any) -> List[str]:
    """The installed plugins, by their distributions: `pytest-cov 5.0.0`."""
    found = {"%s %s" % (dist.project_name, dist.version) for _, dist in config.pluginmanager.list_plugin_distinfo()}
    return sorted(found)


def main(target: str, as_script: str, *arguments: str) -> int:
    """Collect, and write what was found; pytest's exit status."""
    bootstrap._load_package()
    bootstrap._enter_the_project(as_script=as_script == "script")
    proof = importlib.import_module(bootstrap.PACKAGE + ".proof")
    import pytest

    inspector = Inspector(proof)
    status = int(pytest.main([*arguments, "--collect-only", "-q"], plugins=[inspector]))
    with open(target, "w", encoding="utf-8") as file:
        json.dump(inspector.found, file)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
