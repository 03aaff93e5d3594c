"""Combines coverage data and writes its documents, in an interpreter with coverage.py; its order comes on stdin."""

from __future__ import annotations

import html
import json
import os
import re
import sqlite3
import subprocess
import sys
import warnings
from typing import Any, Dict, List, Optional, Set

Order = Dict[str, Any]

TYPE_CONTEXT = "type:"
"""See `measuring.TYPE_CONTEXT`."""

PART = "part:"
MOST_SHARED_BYTES = 8 << 20
"""Sources take about 40 times their size in memory while documents are written."""


def combine(order: Order) -> Dict[str, Any]:
    """
    Combine `data_files` into the data file `combined`, and write the documents that `documents` names by format.

    Paths in the data come out relative to the working directory, those under `workspaces` (other machines'
    directories of the same project) too; so the combined data can be combined again anywhere. Returns what was
    found: `totals` (None where nothing was measured), the `lines` of each file, and `warnings`; where `types` names
    the files of several test types, the totals of each; and with `contexts`, what files each test file `ran`.
    """
    cov = _coverage(order)
    if order["workspaces"]:
        known: Any = cov.get_option("paths") or {}
        paths = dict(known)
        paths["dt workspaces"] = [".", *order["workspaces"]]
        cov.set_option("paths", paths)
    cov.combine(order["data_files"], strict=True, keep=True)
    cov.save()
    types: Dict[str, List[str]] = order["types"]
    if len(types) == 1:
        _label(order["combined"], next(iter(types)))
    documents = dict(order["documents"])
    if len(types) > 1 and documents:
        documents.update({PART + name: "%s.part%d" % (order["combined"], n) for n, name in enumerate(types)})
    scratch = documents.setdefault("json", order["combined"] + ".json")
    remark = _write_all(order, documents)
    if not os.path.exists(scratch):
        return {"totals": None, "lines": {}, "types": {}, "ran": {}, "warnings": [remark]}
    with open(scratch, encoding="utf-8") as file:
        report = json.load(file)
    if "json" not in order["documents"]:
        os.unlink(scratch)
    lines = {name: [file["executed_lines"], file["missing_lines"]] for name, file in report["files"].items()}
    return {
        "totals": report["totals"],
        "lines": lines,
        "types": {name: _totals(documents[PART + name]) for name in types if PART + name in documents},
        "ran": _files_by_test_file(cov) if order["contexts"] else {},
        "warnings": [remark] if remark else [],
    }


def _write_all(order: Order, documents: Dict[str, str]) -> str:
    """Write every document, the pages in a process of their own: they take as long as all others. Returns a remark."""
    cov = _loaded(order)
    here = [word for word in documents if word != "html"] if _share_sources(cov) else ["json"]
    others = [_start_writing(order, word, path) for word, path in documents.items() if word not in here]
    here.sort(key=lambda word: word.startswith(PART))  # last the parts, which narrow what the data tells
    remarks = [write(cov, order, word, documents[word]) for word in here]
    for other in others:
        said = other.communicate()[0].decode("utf-8", "replace").strip()
        if other.returncode:
            raise RuntimeError(said)
    return next(filter(None, remarks), "")


def _files_by_test_file(cov: Any) -> Dict[str, List[str]]:
    """The files of which the tests in each test file ran lines, by the contexts that name tests."""
    data = cov.get_data()
    ran: Dict[str, Set[str]] = {}
    for file in data.measured_files():
        contexts = {context for found in data.contexts_by_lineno(file).values() for context in found}
        for context in contexts:
            test_file, is_test, _ = context.partition("::")
            if is_test:
                ran.setdefault(test_file.rpartition("|")[2], set()).add(file.replace("\\", "/"))
    return {test_file: sorted(files) for test_file, files in sorted(ran.items())}


def _totals(path: str) -> Any:
    """The totals of a JSON report that was written for their sake; nothing where nothing of it ran."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        totals = json.load(file)["totals"]
    os.unlink(path)
    return totals


_LABELLING = (
    "insert or replace into line_bits (file_id, context_id, numbits) select one.file_id, :new,"
    " case when other.numbits is null then one.numbits else numbits_union(one.numbits, other.numbits) end"
    " from line_bits one left join line_bits other on other.file_id = one.file_id and other.context_id = :new"
    " where one.context_id = :old",
    "insert or ignore into arc select file_id, :new, fromno, tono from arc where context_id = :old",
    "delete from line_bits where context_id = :old",
    "delete from arc where context_id = :old",
    "delete from context where id = :old",
)
"""Adds what ran in one context to another one, in coverage.py's data (coverage/sqldata.py, schema 7)."""


def _label(path: str, test_type: str) -> None:
    """
    All that ran belongs to tests of one type: said in the data, for when that of other types is added to it.

    What is said of it already, by another job, is added to: a job that ran no test does not say it.
    """
    from coverage.numbits import register_sqlite_functions

    connection = sqlite3.connect(path)
    register_sqlite_functions(connection)
    label, find = TYPE_CONTEXT + test_type, "select id from context where context = ?"
    with connection:
        connection.execute("insert or ignore into context (context) values (?)", (label,))
        (new,) = connection.execute(find, (label,)).fetchone()
        for (old,) in connection.execute(find, ("",)).fetchall():
            for statement in _LABELLING:
                connection.execute(statement, {"old": old, "new": new})
    connection.close()


def _contexts_of(test_type: str, files: List[str]) -> List[str]:
    """
    Patterns of the contexts that count for a type: its own, those of its tests, and those of no test at all.

    What stands before a bar is a context that the project's settings give everything.
    """
    names = "|".join(re.escape(name) for name in files) or "(?!)"
    return [
        r"(^|\|)%s$" % re.escape(TYPE_CONTEXT + test_type),
        r"(^|\|)(?:%s)::" % names,
        r"^(?!(?:.*\|)?%s)(?!.*::)" % TYPE_CONTEXT,
    ]


def write(cov: Any, order: Order, word: str, path: str) -> str:
    """
    Write one document of combined data, or the JSON of a test type's part (`part:TYPE`).

    Returns a remark: that there was no data, or a source file is gone.
    """
    from coverage.exceptions import NoDataError, NoSource

    contexts = bool(order.get("contexts"))
    remark = ""
    for ignores_errors in (False, True):
        if ignores_errors:
            cov.set_option("report:ignore_errors", True)
        try:
            if word.startswith(PART):
                test_type = word[len(PART) :]
                cov.json_report(outfile=path, contexts=_contexts_of(test_type, order["types"][test_type]))
            elif word == "json":
                cov.json_report(outfile=path, show_contexts=contexts)
            elif word == "xml":
                cov.xml_report(outfile=path)
                if not order.get("is_relative"):
                    _anchor_sources(path)
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


def _anchor_sources(path: str) -> None:
    """
    Name the folders of sources in full, as coverage.py does where the project does not ask for relative files.

    GitLab finds the project's own path in them (lib/gitlab/ci/parsers/coverage/sax_document.rb), and without that
    takes a file below a folder for one of the repository's top.
    """
    here = os.path.realpath(os.getcwd())
    seen: Set[str] = set()

    def anchored(found: Any) -> str:
        folder = os.path.normpath(os.path.join(here, html.unescape(found.group(2)))).replace("\\", "/")
        if folder in seen:
            return ""
        seen.add(folder)
        return "%s<source>%s</source>" % (found.group(1), html.escape(folder, quote=False))

    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(re.sub(r"(\s*)<source>([^<]*)</source>", anchored, text))


def _coverage(order: Order) -> Any:
    import coverage

    cov = coverage.Coverage(data_file=order["combined"])
    order.setdefault("is_relative", bool(cov.get_option("run:relative_files")))
    cov.set_option("run:relative_files", True)
    return cov


def _loaded(order: Order) -> Any:
    cov = _coverage(order)
    cov.load()
    return cov


def _share_sources(cov: Any) -> bool:
    """
    Let the documents that `cov` writes read each source once, where they fit into memory: that is most of the work.

    False where they do not, or where coverage.py has no such inner function (any more).
    """
    get = getattr(cov, "_get_file_reporter", None)
    sizes = (os.path.getsize(file) for file in cov.get_data().measured_files() if os.path.exists(file))
    if get is None or sum(sizes) > MOST_SHARED_BYTES:
        return False
    known: Dict[Any, Any] = {}

    def once(file: Any) -> Any:
        if file not in known:
            known[file] = get(file)
        return known[file]

    cov._get_file_reporter = once
    return True


def _start_writing(order: Order, word: str, path: str) -> Any:
    """A process that writes one document."""
    own = {**order, "data_files": [], "documents": {word: path}}
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
                write(_loaded(order), order, word, order["documents"][word])
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
