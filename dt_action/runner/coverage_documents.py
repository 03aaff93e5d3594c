"""Combines coverage data and writes its documents, under an interpreter that has coverage.py: `python FILE CONFIG`."""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any, Dict, List


def main(config: Dict[str, Any]) -> Dict[str, Any]:
    """
    Combine `data_files` into the data file `combined`, and write the documents that `documents` names by format.

    Paths in the data come out relative to the working directory, those under `workspaces` (other machines'
    directories of the same project) too; so the combined data can be combined again anywhere. Returns what was
    found: `totals`, the `lines` of each file, and `warnings`.
    """
    import coverage
    from coverage.exceptions import NoDataError, NoSource

    caught: List[str] = []
    cov = coverage.Coverage(data_file=config["combined"])
    cov.set_option("run:relative_files", True)
    if config["workspaces"]:
        known: Any = cov.get_option("paths") or {}
        paths = dict(known)
        paths["dt workspaces"] = [".", *config["workspaces"]]
        cov.set_option("paths", paths)
    cov.combine(config["data_files"], strict=True, keep=True)
    cov.save()
    documents = config["documents"]
    scratch = documents.get("json") or config["combined"] + ".json"
    contexts = bool(config.get("contexts"))
    try:
        try:
            cov.json_report(outfile=scratch, show_contexts=contexts)
        except NoSource as error:  # a generated file that is gone
            caught.append(str(error))
            cov.set_option("report:ignore_errors", True)
            cov.json_report(outfile=scratch, show_contexts=contexts)
        if "xml" in documents:
            cov.xml_report(outfile=documents["xml"])
        if "lcov" in documents:
            cov.lcov_report(outfile=documents["lcov"])
        if "html" in documents:
            cov.html_report(directory=documents["html"], show_contexts=contexts)
    except NoDataError as error:
        return {"totals": None, "lines": {}, "warnings": [*caught, str(error)]}
    with open(scratch, encoding="utf-8") as file:
        report = json.load(file)
    if "json" not in documents:
        os.unlink(scratch)
    lines = {name: [file["executed_lines"], file["missing_lines"]] for name, file in report["files"].items()}
    return {"totals": report["totals"], "lines": lines, "warnings": caught}


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        try:
            found = main(settings)
        except ImportError as missing:
            sys.exit("coverage cannot be imported: %s" % missing)
        except Exception as problem:  # coverage.py's own errors
            sys.exit("coverage: %s: %s" % (type(problem).__name__, problem))
    found["warnings"] += [str(remark.message) for remark in remarks]
    with open(settings["result"], "w", encoding="utf-8") as stream:
        json.dump(found, stream)
