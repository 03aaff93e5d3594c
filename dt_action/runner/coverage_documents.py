"""Combines coverage data and writes its documents, in an interpreter with coverage.py; its order comes on stdin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from typing import Any, Dict, List, Optional

Order = Dict[str, Any]


def combine(order: Order) -> Dict[str, Any]:
    """
    Combine `data_files` into the data file `combined`, and write the documents that `documents` names by format.

    Paths in the data come out relative to the working directory, those under `workspaces` (other machines'
    directories of the same project) too; so the combined data can be combined again anywhere. Returns what was
    found: `totals` (None where nothing was measured), the `lines` of each file, and `warnings`.
    """
    cov = _coverage(order)
    if order["workspaces"]:
        known: Any = cov.get_option("paths") or {}
        paths = dict(known)
        paths["dt workspaces"] = [".", *order["workspaces"]]
        cov.set_option("paths", paths)
    cov.combine(order["data_files"], strict=True, keep=True)
    cov.save()
    documents = order["documents"]
    others = [_start_writing(order, word) for word in documents if word != "json"]
    scratch = documents.get("json") or order["combined"] + ".json"
    remark = write(order, "json", scratch)
    for other in others:
        said = other.communicate()[0].decode("utf-8", "replace").strip()
        if other.returncode:
            raise RuntimeError(said)
    if not os.path.exists(scratch):
        return {"totals": None, "lines": {}, "warnings": [remark]}
    with open(scratch, encoding="utf-8") as file:
        report = json.load(file)
    if "json" not in documents:
        os.unlink(scratch)
    lines = {name: [file["executed_lines"], file["missing_lines"]] for name, file in report["files"].items()}
    return {"totals": report["totals"], "lines": lines, "warnings": [remark] if remark else []}


def write(order: Order, word: str, path: str) -> str:
    """Write one document of combined data. Returns a remark: that there was no data, or a source file is gone."""
    from coverage.exceptions import NoDataError, NoSource

    contexts = bool(order.get("contexts"))
    remark = ""
    for ignores_errors in (False, True):
        cov = _coverage(order)
        cov.load()
        if ignores_errors:
            cov.set_option("report:ignore_errors", True)
        try:
            if word == "json":
                cov.json_report(outfile=path, show_contexts=contexts)
            elif word == "xml":
                cov.xml_report(outfile=path)
            elif word == "lcov":
                cov.lcov_report(outfile=path)
            else:
                cov.html_report(directory=path, show_contexts=contexts)
        except NoDataError as error:
            return str(error)
        except NoSource as error:  # a generated file that is gone: once more, without it
            remark = str(error)
            continue
        break
    return remark


def _coverage(order: Order) -> Any:
    import coverage

    cov = coverage.Coverage(data_file=order["combined"])
    cov.set_option("run:relative_files", True)
    return cov


def _start_writing(order: Order, word: str) -> Any:
    """A process that writes one document: each takes as long as the others, and reads the same sources again."""
    own = {**order, "data_files": [], "documents": {word: order["documents"][word]}}
    process = subprocess.Popen(
        [sys.executable, __file__, word], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(own).encode())
    process.stdin.close()
    process.stdin = None  # or `communicate` would flush it
    return process


def main(order: Order, word: Optional[str]) -> None:
    """Do as ordered: write the document `word`, or combine and write all."""
    remarks: List[Any] = []
    try:
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            if word is not None:
                write(order, word, order["documents"][word])
                return
            found = combine(order)
    except ImportError as missing:
        sys.exit("coverage cannot be imported: %s" % missing)
    except Exception as problem:  # coverage.py's own errors
        sys.exit("coverage: %s: %s" % (type(problem).__name__, problem))
    found["warnings"] += [str(remark.message) for remark in remarks]
    with open(order["result"], "w", encoding="utf-8") as stream:
        json.dump(found, stream)


if __name__ == "__main__":
    main(json.load(sys.stdin), sys.argv[1] if len(sys.argv) > 1 else None)
