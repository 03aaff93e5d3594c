"""What the text of one Python file says of other files: imports, names of modules and paths, and ways to reach more."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MOST_BYTES = 4 << 20
MOST_TEXT = 64 << 10
RULES_VERSION = 1
"""Raised whenever the same text could give other facts."""

IMPORTS_ANY = "imports any"
"""It imports or runs files whose names are put together while it runs."""
LISTS = "lists folders"
READS_SOURCES = "reads sources"
"""It looks at the text of Python files: a comment can matter to it."""
READS_LINES = "reads line numbers"
READS_DOCS = "reads docstrings"
HANDLES_PATHS = "handles paths"
IMPORTS_LATER = "imports its own modules when they are asked for"
KNOWS_PLACE = "knows where it lies"
CHANGES_SEARCH_PATH = "changes the search path"
COLLECTS = "collects files of other kinds"

_IMPORTERS = frozenset(
    {
        *("import_module", "__import__", "import_string", "import_object", "import_path", "load_object", "find_spec"),
        *("spec_from_file_location", "spec_from_loader", "exec_module", "load_module", "load_source", "resolve_name"),
        *("SourceFileLoader", "locate", "run_path", "run_module", "iter_modules", "walk_packages", "find_loader"),
        *("entry_points", "iter_entry_points", "importorskip", "exec", "execfile", "reload", "LazyLoader"),
        *("lazy_import", "import_dotted_path", "autodiscover_modules", "autodiscover_tasks", "instantiate"),
        *("call_command", "execute_from_command_line", "load_setuptools_entrypoints", "scan", "find_packages"),
    }
)
_STARTERS = frozenset(
    {
        *(
            "Popen",
            "popen",
            "system",
            "check_call",
            "check_output",
            "call",
            "getoutput",
            "getstatusoutput",
            "startfile",
        ),
        *("create_subprocess_exec", "create_subprocess_shell", "execv", "execve", "execvp", "execvpe", "execl"),
        *("execlp", "spawnv", "spawnl", "spawnve", "posix_spawn", "open_process", "run_process", "run_python"),
        *("runpytest", "runpytest_subprocess", "runpython", "runpython_c", "inline_run", "invoke_subprocess"),
    }
)
_RUN_OF = frozenset({"subprocess", "sp", "trio", "anyio", "session", "pexpect", "script_runner", "testdir", "pytester"})
_OTHER_PROGRAMS = frozenset(
    {
        *("git", "docker", "gcc", "cc", "clang", "uname", "which", "where", "id", "hostname", "ps", "kill", "sleep"),
        *("echo", "cat", "true", "false", "ls", "stty", "tput", "clear", "cls", "nvidia-smi", "ffmpeg", "open", "tar"),
        *("xdg-open", "locale", "sysctl", "sw_vers", "lscpu", "ldconfig", "file", "diff", "chmod", "pbcopy", "xclip"),
    }
)
_LISTERS = frozenset({"listdir", "scandir", "glob", "iglob", "rglob", "iterdir", "copytree", "make_archive", "fwalk"})
_SOURCE_READERS = frozenset(
    {
        *("getsource", "getsourcelines", "getsourcefile", "findsource", "getcomments", "linecache", "compileall"),
        *("py_compile", "tokenize"),
    }
)
_LINE_READERS = frozenset(
    {
        *("lineno", "f_lineno", "tb_lineno", "co_firstlineno", "end_lineno", "extract_tb", "co_lines", "print_stack"),
        *("extract_stack", "format_exc", "format_stack", "print_exc", "format_exception", "stacklevel", "f_back"),
    }
)
_DOCS_READERS = frozenset({"__doc__", "getdoc", "doctest", "pydoc", "cleandoc", "get_docstring", "testmod", "testfile"})
_DOCS_LIBRARIES = frozenset(
    {
        *(
            "click",
            "typer",
            "fire",
            "docopt",
            "plac",
            "cyclopts",
            "argh",
            "invoke",
            "doit",
            "nox",
            "fastapi",
            "apispec",
        ),
        *("starlette", "flasgger", "flask_restx", "strawberry", "graphene", "rest_framework", "drf_spectacular"),
        *("pydantic", "discord", "mcp", "fastmcp", "langchain", "langchain_core", "prefect", "luigi", "sphinx"),
        *("django", "ninja", "sanic", "connexion", "spyne", "zeep", "clize", "defopt", "tyro", "docstring_parser"),
    }
)
_PATHS_OF = frozenset({"os", "pathlib", "glob", "shutil", "subprocess", "runpy", "importlib", "io", "tempfile", "sys"})
_PLACES = frozenset({"__file__", "getcwd", "cwd", "rootpath", "rootdir", "invocation_dir", "fspath"})
_SEARCH_PATH = frozenset({"syspath_prepend", "addsitedir", "PYTHONPATH", "sys.path"})

_MODULE = re.compile(r"\.*[A-Za-z_]\w*(?:\.\w+)*[._]?")
_PART = re.compile(r"[\w.+-]*[^\W\d][\w.+-]*")
_CODE = re.compile(r"\bimport\b|(?:^|\s)-m\b|>>>")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """
    What one file says. All sets are sorted, without doubles.

    `imports` are pairs of a level (0 is absolute) and a dotted name; of `from a import b`, both `a` and `a.b`.
    `chains` are dotted names that begin with an imported one, `pkg.sub.f`. `words` are texts that can name modules,
    `parts` pieces of texts that can name a file, a folder or a program. `traits` are the constants above.
    """

    imports: tuple[tuple[int, str], ...] = ()
    chains: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()


def facts_of(content: bytes) -> SourceFacts | None:
    """The facts of a file's bytes; None where they cannot be read as Python."""
    if len(content) > MOST_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the project's own escape sequences
            tree = ast.parse(content)
        return _Reader().read(tree)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


class _Reader:
    def __init__(self) -> None:
        self._imports: set[tuple[int, str]] = set()
        self._aliases: dict[str, str] = {}
        self._texts: list[str] = []
        self._chains: set[str] = set()
        self._traits: set[str] = set()

    def read(self, tree: ast.Module) -> SourceFacts:
        docs = {id(node) for node in _docstrings(tree)}
        attributes = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant):
                self._note_constant(node.value, is_doc=id(node) in docs)
            elif isinstance(node, ast.Attribute):
                attributes.append(node)
                self._note_name(node.attr)
            elif isinstance(node, ast.Name):
                self._note_name(node.id)
            else:
                self._note_other(node)
        if any(isinstance(item, ast.FunctionDef) and item.name == "__getattr__" for item in tree.body):
            self._traits.add(IMPORTS_LATER)
        for attribute in attributes:
            self._note_chain(attribute)
        return self._facts()

    def _facts(self) -> SourceFacts:
        words: set[str] = set()
        parts: set[str] = set()
        for text in set(self._texts):
            words.update(_words(text))
            parts.update(_parts(text))
        if parts & {".py", ".pyw", "py"}:
            self._traits.add(READS_SOURCES)
        if parts & {"ls-files", "ls-tree"}:
            self._traits |= {LISTS, READS_SOURCES}
        if words & _SEARCH_PATH or self._chains & _SEARCH_PATH:
            self._traits.add(CHANGES_SEARCH_PATH)
        return SourceFacts(
            imports=tuple(sorted(self._imports)),
            chains=tuple(sorted(self._chains)),
            words=tuple(sorted(words)),
            parts=tuple(sorted(parts - words)),
            traits=tuple(sorted(self._traits)),
        )

    # --- nodes ----------------------------------------------------------------------------------------------------

    def _note_constant(self, value: object, *, is_doc: bool) -> None:
        if isinstance(value, str) and value and (not is_doc or ">>>" in value):
            self._texts.append(value[:MOST_TEXT])
        elif isinstance(value, bytes) and b"import" in value:
            self._texts.append(value[:MOST_TEXT].decode("latin-1"))

    def _note_other(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            self._note_call(node)
        elif isinstance(node, ast.Import):
            self._note_import(node)
        elif isinstance(node, ast.ImportFrom):
            self._note_from(node)
        elif isinstance(node, ast.FunctionDef) and node.name in ("pytest_collect_file", "pytest_collect_directory"):
            self._traits.add(COLLECTS)

    def _note_import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._imports.add((0, alias.name))
            name = alias.asname or alias.name.partition(".")[0]
            self._aliases[name] = alias.name if alias.asname else name
            self._note_library(alias.name)

    def _note_from(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if base:
            self._imports.add((node.level, base))
        for alias in node.names:
            self._imports.add((node.level, f"{base}.{alias.name}" if base else alias.name))
            self._note_name(alias.name)
            if not node.level and base:
                self._aliases[alias.asname or alias.name] = f"{base}.{alias.name}"
        if node.level and not base:
            self._imports.add((node.level, ""))
        self._note_library(base)

    def _note_library(self, module: str) -> None:
        top = module.partition(".")[0]
        if top in _DOCS_LIBRARIES:
            self._traits.add(READS_DOCS)
        if top in _PATHS_OF:
            self._traits.add(HANDLES_PATHS)
        if module == "lazy_loader" or module.startswith("lazy_loader."):
            self._traits.add(IMPORTS_LATER)
        self._note_name(top)

    def _note_name(self, name: str) -> None:
        if name in _SOURCE_READERS:
            self._traits.add(READS_SOURCES)
        elif name in _LINE_READERS:
            self._traits.add(READS_LINES)
        elif name in _DOCS_READERS:
            self._traits.add(READS_DOCS)
        elif name in _SEARCH_PATH:
            self._traits.add(CHANGES_SEARCH_PATH)
        elif name == "__path__":
            self._traits.add(IMPORTS_ANY)
        elif name in _PLACES:
            self._traits |= {HANDLES_PATHS, KNOWS_PLACE}

    def _note_call(self, node: ast.Call) -> None:
        name, owner = _called(node)
        if name in _LISTERS or (name == "walk" and owner != "ast"):
            self._traits.add(LISTS)
        if name in _IMPORTERS:
            if not _is_settled(node) or name in ("iter_modules", "walk_packages", "entry_points", "iter_entry_points"):
                self._traits.add(IMPORTS_ANY)
        elif name in _STARTERS or (name in ("run", "spawn") and owner in _RUN_OF):
            self._traits.add(HANDLES_PATHS)
            if _program(node) not in _OTHER_PROGRAMS:
                self._traits.add(IMPORTS_ANY)

    def _note_chain(self, node: ast.Attribute) -> None:
        names = [node.attr]
        inner: ast.expr = node.value
        while isinstance(inner, ast.Attribute):
            names.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id in self._aliases:
            self._chains.add(".".join([self._aliases[inner.id], *reversed(names)]))


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def _called(node: ast.Call) -> tuple[str, str]:
    """The name that is called, and the name before its dot."""
    function = node.func
    if isinstance(function, ast.Name):
        return function.id, ""
    if isinstance(function, ast.Attribute):
        owner = function.value
        return function.attr, owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
    return "", ""


def _is_settled(node: ast.Call) -> bool:
    """True where the first argument is a plain text without a leading dot, so that it says all there is to know."""
    if not node.args or not isinstance(node.args[0], ast.Constant):
        return False
    value = node.args[0].value
    return isinstance(value, str) and (not value.startswith(".") or len(node.args) + len(node.keywords) > 1)


def _program(node: ast.Call) -> str:
    """The first word of a command that is written out, where its program is."""
    first: ast.expr | None = node.args[0] if node.args else None
    if isinstance(first, (ast.List, ast.Tuple)) and first.elts:
        first = first.elts[0]
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        words = first.value.split()
        return words[0] if words else ""
    return ""


def _words(text: str) -> Iterable[str]:
    """What of a text can name modules: all of it, its dotted parts, and in code or a command line every name."""
    whole = text.strip().partition(":")[0]
    if len(whole) < 200 and _MODULE.fullmatch(whole):
        return [whole]
    if len(text) < 3:
        return []
    found = _MODULE.findall(text)
    if _CODE.search(text):
        return found
    return [word for word in found if "." in word.strip(".") or word.endswith(("._", "."))]


def _parts(text: str) -> Iterable[str]:
    """
    What of a text can name a file, a folder or a program: the end of each path in it; of a file's name also the suffix.

    Of `examples/*.py` that is `examples` and `.py`.
    """
    for path in text.replace("\\", "/").split():
        steps = path.split("/")
        ends = [steps[-1]]
        while len(steps) > 1 and ("*" in steps[-1] or not steps[-1].strip("\"'`,;)")):
            steps.pop()
            ends.append(steps[-1])
        for end in ends:
            for part in _PART.findall(end):
                if len(part) < 100:
                    yield part
                    stem, dot, suffix = part.rpartition(".")
                    if dot and suffix.isalnum() and len(suffix) < 9:
                        yield f".{suffix}" if not stem or "*" in end else part
