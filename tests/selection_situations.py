# ruff: noqa: E501 - whole programs in texts
"""Small projects in which a change must run a test, each with a way to reach it that no import statement shows."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Situation:
    """
    A project's files by path, the change (None deletes a file), and the test files that fail with it.

    `at` is the folder in which dt and pytest are started. A text that begins with `->` makes a link.
    """

    name: str
    files: dict[str, str]
    change: dict[str, str | None]
    must: tuple[str, ...] = ("tests/test_it.py",)
    at: str = "."
    arguments: tuple[str, ...] = ()
    leaves: tuple[str, ...] = field(default=())
    """Test files that the change cannot reach, and that are left out."""


GOOD, BAD = "def value():\n    return 1\n", "def value():\n    raise ValueError\n"
OTHER = "def test_other():\n    assert True\n"
LOADS = "import importlib\n\ndef load(name):\n    return importlib.import_module({})\n"


def _uses(source: str, expression: str) -> str:
    return f"{source}\n\ndef test_it():\n    assert {expression} == 1\n"


def _s(
    name: str,
    test: str,
    files: dict[str, str],
    change: dict[str, str | None],
    *,
    tests: dict[str, str] | None = None,
    **more: object,
) -> Situation:
    every = {"tests/test_it.py": test, "tests/test_other.py": OTHER, **files, **(tests or {})}
    return Situation(name=name, files=every, change=change, **more)  # type: ignore[arg-type]


_BACKENDS = {"pkg/__init__.py": "", "pkg/backends/__init__.py": "", "pkg/backends/_one.py": GOOD}
_CHANGED = {"pkg/backends/_one.py": BAD}
_CLI = {"pkg/__init__.py": "", "pkg/__main__.py": "from pkg.core import value\nprint(value())\n", "pkg/core.py": GOOD}
_RUNS = "import subprocess, sys\n\ndef test_it():\n    assert subprocess.run({}).returncode == 0\n"
_MAIN_BAD = {"pkg/__main__.py": "raise SystemExit(3)\n"}
_LIB = {"lib/tool.py": GOOD}
_READS = "from pathlib import Path\n\ndef test_it():\n    assert {}\n"

SITUATIONS = (
    # --- names put together while the program runs
    _s(
        "a prefix and a name",
        _uses("from pkg.load import load", "load('one').value()"),
        {**_BACKENDS, "pkg/load.py": LOADS.format("'pkg.backends._' + name")},
        _CHANGED,
    ),
    _s(
        "an f-string",
        _uses("from pkg.load import load", "load('one').value()"),
        {**_BACKENDS, "pkg/load.py": LOADS.format("f'pkg.backends._{name}'")},
        _CHANGED,
    ),
    _s(
        "a percent format",
        _uses("from pkg.load import load", "load('one').value()"),
        {**_BACKENDS, "pkg/load.py": LOADS.format("'pkg.backends._%s' % name")},
        _CHANGED,
    ),
    _s(
        "a relative text",
        _uses("from pkg.load import load", "load('one').value()"),
        {**_BACKENDS, "pkg/load.py": LOADS.format("f'.backends._{name}', __package__")},
        _CHANGED,
    ),
    _s(
        "a name that joins parts",
        _uses("from pkg.load import load", "load('one').value()"),
        {**_BACKENDS, "pkg/load.py": LOADS.format("'.'.join([__package__, 'backends', '_' + name])")},
        _CHANGED,
    ),
    _s(
        "a name from the environment",
        "import os\nos.environ['BACKEND'] = 'pkg.backends._one'\n"
        + _uses("from pkg.load import load", "load().value()"),
        {
            **_BACKENDS,
            "pkg/load.py": "import importlib, os\n\ndef load():\n    return importlib.import_module(os.environ['BACKEND'])\n",
        },
        _CHANGED,
    ),
    _s(
        "the builtin import",
        _uses("from pkg.load import load", "load('_one').value()"),
        {
            **_BACKENDS,
            "pkg/load.py": "def load(name):\n    return __import__('pkg.backends.' + name, fromlist=['x'])\n",
        },
        _CHANGED,
    ),
    _s(
        "all modules of a package by pkgutil",
        _uses("import pkg.backends", "pkg.backends.found['_one'].value()"),
        {
            **_BACKENDS,
            "pkg/backends/__init__.py": "import importlib, pkgutil\n"
            "found = {m.name: importlib.import_module(__name__ + '.' + m.name) for m in pkgutil.iter_modules(__path__)}\n",
        },
        _CHANGED,
    ),
    _s(
        "all modules of another package by pkgutil",
        _uses(
            "import importlib, pkgutil, pkg.backends as b",
            "[importlib.import_module(m.name) for m in pkgutil.walk_packages(b.__path__, b.__name__ + '.')][0].value()",
        ),
        _BACKENDS,
        _CHANGED,
    ),
    _s(
        "all modules by listing a folder",
        _uses("import pkg.backends", "pkg.backends.found[0].value()"),
        {
            **_BACKENDS,
            "pkg/backends/__init__.py": "import importlib, os\n"
            "names = [n[:-3] for n in os.listdir(os.path.dirname(__file__)) if n.startswith('_o')]\n"
            "found = [importlib.import_module('.' + n, __name__) for n in names]\n",
        },
        _CHANGED,
    ),
    _s(
        "a module's own getattr",
        _uses("import pkg", "pkg.backends._one.value()"),
        {
            **_BACKENDS,
            "pkg/__init__.py": "def __getattr__(name):\n    import importlib\n    return importlib.import_module('.' + name, __name__)\n",
            "pkg/backends/__init__.py": "def __getattr__(name):\n    import importlib\n    return importlib.import_module('.' + name, __name__)\n",
        },
        _CHANGED,
    ),
    _s(
        "a table of lazy names",
        _uses("from pkg import value", "value()"),
        {
            "pkg/__init__.py": "import sys\n_WHERE = {'value': 'heavy'}\n\nclass _Lazy(type(sys)):\n    def __getattr__(self, name):\n"
            "        __import__('pkg.' + _WHERE[name])\n        return getattr(sys.modules['pkg.' + _WHERE[name]], name)\n\n"
            "sys.modules[__name__].__class__ = _Lazy\n",
            "pkg/heavy.py": GOOD,
        },
        {"pkg/heavy.py": BAD},
    ),
    _s(
        "names in __all__",
        "from pkg import *\n" + _uses("", "sub.value()"),
        {"pkg/__init__.py": "__all__ = ['sub']\n", "pkg/sub.py": GOOD},
        {"pkg/sub.py": BAD},
    ),
    _s(
        "a module that another test imported",
        _uses("import pkg\nimport tests.test_first", "pkg.sub.value()"),
        {"pkg/__init__.py": "", "pkg/sub.py": GOOD, "tests/__init__.py": "", "tests/test_first.py": "import pkg.sub\n"},
        {"pkg/sub.py": BAD},
    ),
    _s(
        "names in a data file",
        _uses("from pkg.load import load", "load().value()"),
        {
            **_BACKENDS,
            "pkg/load.py": "import importlib, json, pathlib\n\ndef load():\n"
            "    name = json.loads((pathlib.Path(__file__).parent / 'plug.json').read_text())['use']\n"
            "    return importlib.import_module(name)\n",
            "pkg/plug.json": '{"use": "pkg.backends._one"}',
        },
        _CHANGED,
    ),
    _s(
        "a file loaded by its path",
        _uses(
            "import importlib.util, pathlib\n"
            "spec = importlib.util.spec_from_file_location('m', pathlib.Path(__file__).parents[1] / 'plugins' / 'one.py')\n"
            "m = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(m)",
            "m.value()",
        ),
        {"plugins/one.py": GOOD},
        {"plugins/one.py": BAD},
    ),
    _s(
        "a file that is executed as text",
        _uses("ns = {}\nexec(open('tools/version.py').read(), ns)", "ns['value']()"),
        {"tools/version.py": GOOD},
        {"tools/version.py": BAD},
    ),
    # --- programs
    _s(
        "python -m package",
        _RUNS.format("[sys.executable, '-m', 'pkg']"),
        _CLI,
        _MAIN_BAD,
    ),
    _s("python -m package in shell text", _RUNS.format("sys.executable + ' -m pkg', shell=True"), _CLI, _MAIN_BAD),
    _s(
        "an import in the text after -c",
        _RUNS.format("[sys.executable, '-c', 'import pkg.core; pkg.core.value()']"),
        _CLI,
        {"pkg/core.py": BAD},
    ),
    _s(
        "runpy",
        "import runpy\n\ndef test_it():\n    runpy.run_module('pkg')\n",
        _CLI,
        _MAIN_BAD,
    ),
    _s(
        "a script run by its path",
        _RUNS.format("[sys.executable, 'scripts/tool.py']"),
        {"scripts/tool.py": ""},
        {"scripts/tool.py": "raise SystemExit(3)\n"},
    ),
    _s(
        "examples that a folder holds",
        "import runpy, pathlib, pytest\n\n@pytest.mark.parametrize('p', sorted(pathlib.Path('examples').glob('*.py')))\n"
        "def test_it(p):\n    runpy.run_path(str(p))\n",
        {"examples/demo.py": ""},
        {"examples/demo.py": "raise ValueError\n"},
    ),
    _s(
        "a script with a helper beside it",
        _RUNS.format("[sys.executable, 'scripts/tool.py']"),
        {"scripts/tool.py": "import helper\nhelper.value()\n", "scripts/helper.py": GOOD},
        {"scripts/helper.py": BAD},
    ),
    _s(
        "a shell script that calls a module",
        _RUNS.format("['sh', 'run.sh']"),
        {"run.sh": "exec python3 -m pkg\n", **_CLI},
        _MAIN_BAD,
    ),
    _s(
        "multiprocessing of a function by name",
        _uses(
            "from concurrent.futures import ProcessPoolExecutor\nfrom pkg.work import job",
            "ProcessPoolExecutor(1).submit(job).result()",
        ),
        {
            "pkg/__init__.py": "",
            "pkg/work.py": "def job():\n    from pkg.deep import value\n    return value()\n",
            "pkg/deep.py": GOOD,
        },
        {"pkg/deep.py": BAD},
    ),
    # --- what pytest's settings name
    _s(
        "a plugin in addopts",
        "def test_it(thing):\n    assert thing == 1\n",
        {
            "pytest.ini": "[pytest]\naddopts = -p pkg.plugin\npythonpath = .\n",
            "pkg/__init__.py": "",
            "pkg/plugin.py": "import pytest\n\n@pytest.fixture\ndef thing():\n    return 1\n",
        },
        {"pkg/plugin.py": "import pytest\n\n@pytest.fixture\ndef thing():\n    return 2\n"},
    ),
    _s(
        "a plugin in pytest_plugins",
        "def test_it(thing):\n    assert thing == 1\n",
        {
            "conftest.py": "pytest_plugins = ['helpers.fixtures']\n",
            "helpers/fixtures.py": "import pytest\n\n@pytest.fixture\ndef thing():\n    return 1\n",
        },
        {"helpers/fixtures.py": "import pytest\n\n@pytest.fixture\ndef thing():\n    return 2\n"},
    ),
    _s(
        "settings named in pytest.ini",
        "import importlib, os\n\ndef test_it(pytestconfig):\n    name = pytestconfig.getini('settings')\n"
        "    assert importlib.import_module(name).VALUE == 1\n",
        {
            "pytest.ini": "[pytest]\nsettings = proj.conf\npythonpath = .\n",
            "conftest.py": "def pytest_addoption(parser):\n    parser.addini('settings', 'x')\n",
            "proj/__init__.py": "",
            "proj/conf.py": "VALUE = 1\n",
        },
        {"proj/conf.py": "VALUE = 2\n"},
    ),
    _s(
        "warnings of the project in filterwarnings",
        "def test_it():\n    pass\n",
        {
            "pytest.ini": "[pytest]\nfilterwarnings = error::pkg.warn.Mine\npythonpath = .\n",
            "pkg/__init__.py": "",
            "pkg/warn.py": "class Mine(Warning):\n    pass\n",
        },
        {"pkg/warn.py": "class Mine:\n    pass\n"},
        must=("tests/test_it.py", "tests/test_other.py"),
    ),
    _s(
        "an entry point for pytest",
        "def test_it():\n    pass\n",
        {
            "pyproject.toml": "[project]\nname = 'x'\nversion = '1'\n[project.entry-points.pytest11]\nmine = 'pkg.plugin'\n",
            "pkg/__init__.py": "",
            "pkg/plugin.py": "",
            "conftest.py": "import importlib, tomllib, pathlib\n"
            "for _ in tomllib.loads(pathlib.Path('pyproject.toml').read_text())['project']['entry-points']['pytest11'].values():\n"
            "    importlib.import_module(_)\n",
        },
        {"pkg/plugin.py": "raise ValueError\n"},
        must=("tests/test_it.py", "tests/test_other.py"),
    ),
    _s(
        "folders of pythonpath",
        _uses("import tool", "tool.value()"),
        {"pytest.ini": "[pytest]\npythonpath = lib\n", **_LIB},
        {"lib/tool.py": BAD},
        leaves=("tests/test_other.py",),
    ),
    _s(
        "folders that a conftest adds",
        _uses("import tool", "tool.value()"),
        {"conftest.py": "import sys\nsys.path.insert(0, 'lib')\n", "lib/__init__.py": "", **_LIB},
        {"lib/tool.py": BAD},
    ),
    # --- packages in odd places
    _s(
        "the tests' own package",
        "def test_it():\n    import os\n    assert os.environ.get('MINE') == '1'\n",
        {"tests/__init__.py": "import os\nos.environ['MINE'] = '1'\n"},
        {"tests/__init__.py": "import os\nos.environ['MINE'] = '2'\n"},
    ),
    *(
        _s(
            f"a package named {name}",
            _uses(f"from pkg.{name}.core import value", "value()"),
            {"pkg/__init__.py": "", f"pkg/{name}/__init__.py": "", f"pkg/{name}/core.py": GOOD},
            {f"pkg/{name}/core.py": BAD},
            leaves=("tests/test_other.py",),
        )
        for name in ("build", "dist", "env", "venv")
    ),
    _s(
        "a linked package folder",
        _uses("from pkg.core import value", "value()"),
        {"source/inner/__init__.py": "", "source/inner/core.py": GOOD, "pkg": "->source/inner"},
        {"source/inner/core.py": BAD},
        leaves=("tests/test_other.py",),
    ),
    _s(
        "a linked module",
        _uses("from pkg.core import value", "value()"),
        {"pkg/__init__.py": "", "source/real.py": GOOD, "pkg/core.py": "->../source/real.py"},
        {"source/real.py": BAD},
        leaves=("tests/test_other.py",),
    ),
    _s(
        "a namespace package",
        _uses("from space.part.core import value", "value()"),
        {"src/space/part/core.py": GOOD, "pytest.ini": "[pytest]\npythonpath = src\n"},
        {"src/space/part/core.py": BAD},
        leaves=("tests/test_other.py",),
    ),
    # --- above the root
    Situation(
        "a conftest above the root",
        {
            "conftest.py": "import os\nos.environ['MINE'] = '1'\n",
            "app/pytest.ini": "[pytest]\naddopts = --confcutdir=..\n",
            "app/tests/test_it.py": "import os\n\ndef test_it():\n    assert os.environ['MINE'] == '1'\n",
        },
        {"conftest.py": "import os\nos.environ['MINE'] = '2'\n"},
        at="app",
    ),
    Situation(
        "a package above the root",
        {
            "shared/common.py": GOOD,
            "app/pytest.ini": "[pytest]\npythonpath = ../shared\n",
            "app/tests/test_it.py": _uses("import common", "common.value()"),
            "app/tests/test_other.py": OTHER,
        },
        {"shared/common.py": BAD},
        at="app",
    ),
    Situation(
        "data above the root",
        {
            "shared/data.txt": "1",
            "app/tests/test_it.py": _READS.format("Path('../shared/data.txt').read_text() == '1'"),
        },
        {"shared/data.txt": "2"},
        at="app",
    ),
    # --- data and documents
    _s(
        "data in a shared folder of tests",
        "def test_other(): pass\n",
        {
            "tests/data/a.txt": "1",
            "tests/unit/test_deep.py": _READS.format("(Path(__file__).parents[1] / 'data/a.txt').read_text() == '1'"),
        },
        {"tests/data/a.txt": "2"},
        must=("tests/unit/test_deep.py",),
    ),
    _s(
        "a readme that a test reads",
        _READS.format("'usage' in Path('README.md').read_text()"),
        {"README.md": "usage"},
        {"README.md": ""},
    ),
    _s(
        "documents that a test lists",
        _READS.format("all('--opt' in p.read_text() for p in (Path(__file__).parents[1] / 'docs').glob('*.rst'))"),
        {"docs/cli.rst": "--opt"},
        {"docs/cli.rst": "--oqt"},
    ),
    _s(
        "all files of a project, listed",
        _READS.format(
            "not [p for p in Path(__file__).parents[1].rglob('*') if p.is_file() and b'TODO' in p.read_bytes() and p.name != 'test_it.py']"
        ),
        {"docs/cli.rst": "x"},
        {"docs/cli.rst": "TO" + "DO"},
    ),
    _s(
        "prompts that a source reads",
        _uses("from pkg.ask import ask", "len(ask())"),
        {
            "pkg/__init__.py": "",
            "pkg/ask.py": "from pathlib import Path\n\ndef ask():\n    return (Path(__file__).parent / 'prompts' / 'first.md').read_text()\n",
            "pkg/prompts/first.md": "a",
        },
        {"pkg/prompts/first.md": "abc"},
    ),
    _s(
        "prompts outside of the package",
        _uses("from pkg.ask import ask", "len(ask())"),
        {
            "pkg/__init__.py": "",
            "pkg/ask.py": "from pathlib import Path\n\ndef ask():\n    return (Path(__file__).parents[1] / 'prompts' / 'first.md').read_text()\n",
            "prompts/first.md": "a",
        },
        {"prompts/first.md": "abc"},
    ),
    _s(
        "a workflow that a test reads",
        _READS.format("'3.13' in Path('.github/workflows/ci.yml').read_text()"),
        {".github/workflows/ci.yml": "3.13"},
        {".github/workflows/ci.yml": "3.12"},
    ),
    _s(
        "the licence in all sources",
        _READS.format("all('# (c)' in p.read_text() for p in Path('pkg').rglob('*.py'))"),
        {"pkg/__init__.py": "# (c)\n"},
        {"pkg/__init__.py": "# nothing\n"},
    ),
    _s(
        "a docstring that becomes help",
        _uses("from pkg.main import main", "int('Prints' in main.__doc__)"),
        {"pkg/__init__.py": "", "pkg/main.py": 'def main():\n    """Prints."""\n'},
        {"pkg/main.py": 'def main():\n    """Shows."""\n'},
    ),
    _s(
        "a comment that moves lines",
        "from pkg.core import value\n\ndef test_it():\n    assert value.__code__.co_firstlineno == 1\n",
        {"pkg/__init__.py": "", "pkg/core.py": GOOD},
        {"pkg/core.py": "# moved\n" + GOOD},
    ),
    _s(
        "a template of a package",
        _uses("from pkg.page import page", "len(page())"),
        {
            "pkg/__init__.py": "",
            "pkg/page.py": "import importlib.resources\n\ndef page():\n"
            "    return importlib.resources.files('pkg').joinpath('templates/a.html').read_text()\n",
            "pkg/templates/a.html": "a",
        },
        {"pkg/templates/a.html": "aa"},
    ),
    # --- what is gone, and what is new
    _s(
        "a module that is gone",
        _uses("from pkg.core import value", "value()"),
        {"pkg/__init__.py": "", "pkg/core.py": GOOD},
        {"pkg/core.py": None},
        leaves=("tests/test_other.py",),
    ),
    _s(
        "a plugin that is gone",
        _uses("from pkg.load import load", "load('one').value()"),
        {**_BACKENDS, "pkg/load.py": LOADS.format("'pkg.backends._' + name")},
        {"pkg/backends/_one.py": None},
    ),
    _s(
        "a conftest that is gone",
        "def test_it(thing):\n    assert thing\n",
        {"tests/conftest.py": "import pytest\n\n@pytest.fixture\ndef thing():\n    return 1\n"},
        {"tests/conftest.py": None},
    ),
    _s(
        "data that is gone",
        _READS.format("Path('fixtures/a.bin').exists()"),
        {"fixtures/a.bin": "1"},
        {"fixtures/a.bin": None},
    ),
    _s(
        "a new module that hides another one",
        _uses("import pkg.core", "pkg.core.value()"),
        {"pkg/__init__.py": "", "pkg/core.py": GOOD},
        {"pkg/core/__init__.py": BAD},
        leaves=("tests/test_other.py",),
    ),
    _s(
        "a new conftest",
        "import os\n\ndef test_it():\n    assert 'MINE' not in os.environ\n",
        {},
        {"tests/conftest.py": "import os\nos.environ['MINE'] = '1'\n"},
    ),
    _s(
        "a new file in a listed folder",
        _READS.format("len(list(Path('cases').iterdir())) == 1"),
        {"cases/a.txt": ""},
        {"cases/b.txt": ""},
    ),
    # --- frameworks
    _s(
        "an application named in settings",
        _uses("from proj.setup import apps", "apps()['shop'].value()"),
        {
            "proj/__init__.py": "",
            "proj/settings.py": "INSTALLED_APPS = ['shop']\n",
            "proj/setup.py": "from importlib import import_module\nfrom proj import settings\n\ndef apps():\n"
            "    return {name: import_module(f'{name}.models') for name in settings.INSTALLED_APPS}\n",
            "shop/__init__.py": "",
            "shop/models.py": GOOD,
        },
        {"shop/models.py": BAD},
    ),
    _s(
        "doctests of a module",
        "def test_it():\n    pass\n",
        {
            "pytest.ini": "[pytest]\naddopts = --doctest-modules\n",
            "pkg/__init__.py": "",
            "pkg/core.py": 'from pkg.deep import value\n\ndef twice():\n    """\n    >>> twice()\n    2\n    """\n    return value() * 2\n',
            "pkg/deep.py": GOOD,
        },
        {"pkg/deep.py": BAD},
        must=("pkg/core.py",),
    ),
    _s(
        "a doctest's own text",
        "def test_it():\n    pass\n",
        {
            "pytest.ini": "[pytest]\naddopts = --doctest-modules\n",
            "pkg/__init__.py": "",
            "pkg/core.py": 'def one():\n    """\n    >>> one()\n    1\n    """\n    return 1\n',
        },
        {"pkg/core.py": 'def one():\n    """\n    >>> one()\n    2\n    """\n    return 1\n'},
        must=("pkg/core.py",),
    ),
    _s(
        "tests of files of another kind",
        _uses("from pkg.core import value", "value()").replace("== 1", "is not None"),
        {
            "conftest.py": "import pytest\n\ndef pytest_collect_file(parent, file_path):\n    if file_path.suffix == '.case':\n"
            "        return File.from_parent(parent, path=file_path)\n\n\nclass File(pytest.File):\n    def collect(self):\n"
            "        yield Item.from_parent(self, name='case')\n\n\nclass Item(pytest.Item):\n    def runtest(self):\n"
            "        import pkg.deep\n        pkg.deep.value()\n",
            "tests/a.case": "",
            "pkg/__init__.py": "",
            "pkg/core.py": GOOD,
            "pkg/deep.py": GOOD,
            "tests/test_deep.py": "import pkg.deep\n\ndef test_deep():\n    pass\n",
        },
        {"pkg/deep.py": BAD},
        must=("tests/test_it.py", "tests/test_other.py", "tests/test_deep.py"),
    ),
    _s(
        "a dotted name in a logging configuration",
        _uses(
            "import logging.config, json\nlogging.config.dictConfig(json.load(open('log.json')))",
            "len(logging.getLogger('x').handlers)",
        ),
        {
            "log.json": '{"version": 1, "handlers": {"h": {"class": "pkg.deep.Handler"}}, "loggers": {"x": {"handlers": ["h"]}}}',
            "pkg/__init__.py": "",
            "pkg/deep.py": "import logging\n\nclass Handler(logging.NullHandler):\n    pass\n",
        },
        {"pkg/deep.py": ""},
    ),
    _s(
        "a subclass registry filled by a folder",
        _uses("from pkg.base import load_all, Base\nload_all()", "Base.__subclasses__()[0]().value()"),
        {
            "pkg/__init__.py": "",
            "pkg/base.py": "import pathlib, runpy\n\nclass Base:\n    pass\n\nKEPT = []\n\ndef load_all():\n"
            "    for path in (pathlib.Path(__file__).parent / 'kinds').iterdir():\n"
            "        if path.suffix == '.py':\n            KEPT.append(runpy.run_path(str(path)))\n",
            "pkg/kinds/one.py": "from pkg.base import Base\n\nclass One(Base):\n    def value(self):\n        return 1\n",
        },
        {"pkg/kinds/one.py": "from pkg.base import Base\n\nclass One(Base):\n    def value(self):\n        return 2\n"},
    ),
)
