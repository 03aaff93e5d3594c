"""The table of what names say: every row can be read, a project adds its own, and code comes before names."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from dt_action.analysis import StaticAnalyzer, cache
from dt_action.analysis.names import gate_of_decorator, gate_of_mark, polarity_of
from dt_action.analysis.phrases import Demand
from dt_action.analysis.vocabulary import _blocks, built_in, check, project_rows, rows_of, without
from dt_action.analysis.worlds import explore
from dt_action.errors import ConfigurationError
from dt_action.model.case import TestFile
from dt_action.model.hardware import FileNeeds


def analyze(root: Path, source: str, rows: dict[str, str] | None = None, **files: str) -> FileNeeds:
    for name, text in {"test_it": source, **files}.items():
        (root / f"{name}.py").write_text("import pytest, torch, unittest\n" + dedent(text))
    analyzer = StaticAnalyzer(root=root, vocabulary=project_rows(rows or {}))
    return analyzer.analyze([TestFile(path="test_it.py")])["test_it.py"]


def needs(root: Path, source: str, rows: dict[str, str] | None = None, **files: str) -> str:
    return str(analyze(root, source, rows, **files).of("test_x"))


def test_every_row_can_be_read() -> None:
    for phrase in rows_of(_blocks()).values():
        check(phrase)


def test_every_block_has_its_source_and_no_name_stands_twice() -> None:
    blocks = _blocks()
    assert all(block["source"] and block["name"] for block in blocks)
    assert sum(len(block["rows"]) for block in blocks) == len(rows_of(blocks))


PHRASES = {
    "requires npu": "npu",
    "requires cuda >= 2": "2 cuda",
    "requires cuda or rocm": "cuda or rocm",
    "requires gpu >= {n=4}": "4 gpu",
    "requires gpu": "gpu",
    "requires sm90": "cuda with sm90",
    "excludes rocm": "not rocm",
    "requires linux": "on linux",
    "requires browser": "any",
    "nothing": "nothing",
}


@pytest.mark.parametrize(("phrase", "expected"), PHRASES.items(), ids=PHRASES)
def test_a_project_says_what_its_decorator_means(tmp_path: Path, phrase: str, expected: str) -> None:
    source = "from lab import gate\n@gate\ndef test_x(): pass\n"
    assert needs(tmp_path, source) == "nothing"
    assert needs(tmp_path, source, {"gate": phrase}) == expected


def test_a_project_says_what_its_functions_marks_fixtures_and_imports_mean(tmp_path: Path) -> None:
    rows = {
        "lab.has_board": "true on npu",
        "lab.boards": "count of npu",
        "bench": "mark requires qualcomm",
        "rig": "fixture requires tpu",
        "boardlib": "import requires hpu",
    }
    source = """
        import lab

        @pytest.mark.skipif(not lab.has_board(), reason="")
        def test_board(): pass

        @pytest.mark.skipif(lab.boards() < 2, reason="")
        def test_boards(): pass

        @pytest.mark.bench
        def test_bench(): pass

        def test_rig(rig): pass

        def test_import():
            import boardlib
    """
    found = {name: str(needs) for name, needs in analyze(tmp_path, source, rows).cases.items()}
    assert found == {
        "test_board": "npu",
        "test_boards": "2 npu",
        "test_bench": "qualcomm",
        "test_rig": "tpu",
        "test_import": "hpu",
    }


@pytest.mark.parametrize("phrase", ["needs", "requires", "requires cudda", "true on", "the moon", "requires cuda >= x"])
def test_a_phrase_that_cannot_be_read_is_an_error_that_names_it(phrase: str) -> None:
    with pytest.raises(ConfigurationError, match="vocabulary of 'gate'") as caught:
        project_rows({"gate": phrase})
    assert caught.value.hint


def test_what_a_decorator_does_comes_before_what_its_name_says(tmp_path: Path) -> None:
    helper = "def require_xpu(test):\n    return pytest.mark.skipif(not torch.cuda.is_available(), reason='')(test)\n"
    source = "from helper import require_xpu\n@require_xpu\ndef test_x(): pass\n"
    assert needs(tmp_path, source, helper=helper) == "cuda"


def test_the_name_counts_where_the_code_does_not_tell(tmp_path: Path) -> None:
    helper = "import lab\nrequire_xpu = lab.make('xpu')\ndef skip_on_devices(*names): return lab.skip(names)\n"
    source = "from helper import require_xpu, skip_on_devices\n{}\ndef test_x(): pass\n"
    assert needs(tmp_path, source.format("@require_xpu"), helper=helper) == "xpu"
    assert needs(tmp_path, source.format("@skip_on_devices('tpu')"), helper=helper) == "not tpu"


NAMES = {
    "require_multi_gpu": "requires gpu >= 2",
    "skip_if_no_xpu": "requires xpu",
    "skipIfRocm": "excludes rocm",
    "require_non_xpu": "excludes xpu",
    "skip_unless_tpu": "requires tpu",
    "requires_2_gpus": "requires gpu >= 2",
    "needs_cuda": "requires cuda",
    "skip_on_hpu": "excludes hpu",
}


@pytest.mark.parametrize(("name", "phrase"), NAMES.items(), ids=NAMES)
def test_a_name_says(name: str, phrase: str) -> None:
    demand = gate_of_decorator(name)
    assert demand is not None
    assert answers(demand) == answers(*built_in().with_rows({"x": phrase}).gate("x") or ())


@pytest.mark.parametrize(
    "name", ["requires_grad", "run_once", "skip_slow", "needs_review", "device", "with_cuda_graphs"]
)
def test_a_name_that_does_not_speak_of_hardware_says_nothing(name: str) -> None:
    assert gate_of_decorator(name) is None


def test_the_polarity_of_a_list_of_devices_is_in_the_name() -> None:
    assert [polarity_of(name) for name in ("run_on_devices", "only_for", "requires_backend")] == [False] * 3
    assert [polarity_of(name) for name in ("skip_on_devices", "exclude_devices", "skipIfBackend")] == [True] * 3
    assert polarity_of("parametrize_devices") is None


def test_a_mark_says_what_it_selects() -> None:
    assert gate_of_mark("multi_gpu_tests") is not None
    assert gate_of_mark("no_cuda") is None


def answers(*demands: Demand) -> list[tuple[str, object]]:
    found = explore(lambda world: [demand.is_open(world, (), {}) for demand in demands])
    return sorted((str({axis: sorted(map(str, values)) for axis, values in possible.items()}), str(verdict))
                  for possible, verdict in found)  # fmt: skip


def test_a_repository_is_judged_without_its_own_rows() -> None:
    assert built_in().gate("RunIf") is not None
    assert without("Lightning-AI/pytorch-lightning").gate("RunIf") is None


def test_any_change_of_the_rules_is_another_key(tmp_path: Path) -> None:
    for name in ("gates.py", "vocabulary.toml"):
        (tmp_path / name).write_text("one")
    before = cache.digest_of_rules(tmp_path)
    (tmp_path / "vocabulary.toml").write_text("two")
    cache.digest_of_rules.cache_clear()
    assert cache.digest_of_rules(tmp_path) != before
