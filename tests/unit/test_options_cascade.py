"""Which source of an option wins, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from dt_action.errors import ConfigurationError, ExitCode
from dt_action.options import OPTIONS, Settings, resolve, secret_values, without_secrets


def write(root: Path, name: str, content: str) -> None:
    (root / name).write_text(content, encoding="utf-8")


def refusal(root: Path, flags: dict[str, object] | None = None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        resolve(flags or {}, environ or {}, root)
    assert caught.value.exit_code == ExitCode.CONFIGURATION
    return str(caught.value)


def test_without_any_source_every_value_is_the_default(tmp_path: Path) -> None:
    settings = resolve({}, {}, tmp_path)
    assert settings == Settings(root=tmp_path)
    assert {source.text for source in settings.sources.values()} == {"default"}
    assert (settings.timeout_s, settings.poll_interval_s, settings.output_dir) == (3600, 15, "test_reports")
    assert settings.report_formats == ("json", "md", "html")


def test_the_strongest_source_wins_and_is_told(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", "[tool.dt]\ntimeout = '1m'\n")
    file = resolve({}, {}, tmp_path)
    variable = resolve({}, {"DT_TIMEOUT": "2m"}, tmp_path)
    action = resolve({}, {"DT_TIMEOUT": "2m", "INPUT_TIMEOUT": "3m"}, tmp_path)
    flag = resolve({"timeout_s": "4m"}, {"DT_TIMEOUT": "2m", "INPUT_TIMEOUT": "3m"}, tmp_path)
    assert [s.timeout_s for s in (file, variable, action, flag)] == [60, 120, 180, 240]
    assert [s.told_by("timeout_s") for s in (file, variable, action, flag)] == [
        "timeout in [tool.dt] of pyproject.toml",
        "environment variable DT_TIMEOUT",
        "input timeout",
        "--timeout",
    ]


@pytest.mark.parametrize("name", ["INPUT_TEST_TYPE", "INPUT_TEST-TYPE", "DT_TEST_TYPE"])
def test_an_action_input_is_read_with_hyphen_or_underscore(tmp_path: Path, name: str) -> None:
    assert resolve({}, {name: "stress"}, tmp_path).test_type == ("stress",)


def test_every_option_can_be_given_by_each_of_its_variables(tmp_path: Path) -> None:
    (tmp_path / "packages" / "core").mkdir(parents=True)
    for row in OPTIONS:
        if row.has_flag:
            for name in row.environment:
                settings = resolve({}, {name: row.kind.example, "COORDINATOR_URL": "http://c"}, tmp_path)
                told = settings.told_by(row.name)
                assert told in (f"environment variable {name}", f"input {row.input}"), name


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_variable_counts_as_not_given(tmp_path: Path, empty: str) -> None:
    assert resolve({}, {"INPUT_TIMEOUT": empty, "DT_TIMEOUT": "2m"}, tmp_path).timeout_s == 120


def test_the_coordinators_own_variables_are_read(tmp_path: Path) -> None:
    settings = resolve({}, {"COORDINATOR_URL": "https://c.example", "COORDINATOR_API_KEY": "k-123"}, tmp_path)
    assert (settings.coordinator, settings.api_key, settings.fleet) == ("https://c.example", "k-123", "coordinator")


def test_a_coordinator_makes_it_the_fleet_unless_something_as_strong_names_another(tmp_path: Path) -> None:
    url = "https://c.example"
    assert resolve({"coordinator": url}, {}, tmp_path).fleet == "coordinator"
    assert resolve({"coordinator": url, "fleet": "local"}, {}, tmp_path).fleet == "local"
    assert resolve({"fleet": "local"}, {"COORDINATOR_URL": url}, tmp_path).fleet == "local"
    write(tmp_path, "dt.yml", "fleet: local\n")
    assert resolve({}, {"COORDINATOR_URL": url}, tmp_path).fleet == "coordinator"


def test_a_coordinator_fleet_without_an_address_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, {"fleet": "coordinator"})
    assert "--fleet is 'coordinator'" in said
    assert "COORDINATOR_URL" in said


def test_yaml_and_toml_give_the_same_settings(tmp_path: Path) -> None:
    one, other = tmp_path / "toml", tmp_path / "yaml"
    one.mkdir()
    other.mkdir()
    write(
        one,
        "pyproject.toml",
        '[tool.dt]\ntest-dir = "t"\nworkers = 3\nverbose = true\nreport_formats = ["md"]\npytest-args = "-k \'a b\'"\n'
        '[tool.dt.test-types]\nnightly = ["slow/**"]\n',
    )
    write(
        other,
        "dt.yml",
        "test_dir: t\nworkers: 3\nverbose: yes\nreport-formats: md\npytest-args: [-k, a b]\n"
        "test-types:\n  nightly: slow/**\n",
    )
    first, second = resolve({}, {}, one), resolve({}, {}, other)
    assert {row.name: getattr(first, row.name) for row in OPTIONS} == {
        row.name: getattr(second, row.name) for row in OPTIONS
    }
    assert first.pytest_args == ("-k", "a b")
    assert second.told_by("workers") == "workers in dt.yml"


def test_every_mistake_is_told_at_once_with_expected_found_source_and_remedy(tmp_path: Path) -> None:
    write(tmp_path, "dt.yml", "retries: many\ntimout: 5m\n")
    said = refusal(tmp_path, {"timeout_s": "5x", "fleet": "locl"}, {"INPUT_SHARD": "3/2"})
    assert said.startswith("5 problems:")
    assert "--timeout is '5x'; expected a duration" in said
    assert "write --timeout 5m" in said
    assert "did you mean 'local'?" in said
    assert "input shard is '3/2'; expected I/N" in said
    assert "write shard: 1/4" in said
    assert "retries in dt.yml is 'many'; expected a whole number" in said
    assert "'timout', which is no option of dt" in said
    assert "did you mean 'timeout'?" in said


def test_a_wrong_value_of_a_weaker_source_is_not_told_when_a_stronger_one_speaks(tmp_path: Path) -> None:
    assert resolve({"timeout_s": "5m"}, {"DT_TIMEOUT": "soon"}, tmp_path).timeout_s == 300


def test_two_configurations_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", "[tool.dt]\nworkers = 2\n")
    write(tmp_path, "dt.yml", "workers: 3\n")
    assert "two configurations: [tool.dt] in pyproject.toml and dt.yml" in refusal(tmp_path)


def test_a_key_in_both_spellings_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "dt.yml", "test-dir: a\ntest_dir: b\n")
    assert "'test-dir' twice" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dt.yml", "a: [1"),
        ("dt.yml", "- a list"),
        ("pyproject.toml", "[tool.dt\n"),
        ("pyproject.toml", "[tool]\ndt = 5"),
    ],
)
def test_a_configuration_that_is_no_table_is_refused_by_name(tmp_path: Path, name: str, content: str) -> None:
    write(tmp_path, name, content)
    assert name in refusal(tmp_path)


def test_reports_never_look_like_a_package_of_a_flat_layout(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", "[project]\nname = 'shop'\n")
    assert resolve({}, {}, tmp_path).output_dir == "test_reports"
    (tmp_path / "shop").mkdir()
    assert resolve({}, {}, tmp_path).output_dir == "test-reports"
    assert resolve({"output_dir": "test_reports"}, {}, tmp_path).output_dir == "test_reports"
    for chosen in ("[build-system]\nbuild-backend = 'hatchling.build'\n", "[tool.setuptools]\npackages = ['shop']\n"):
        write(tmp_path, "pyproject.toml", "[project]\nname = 'shop'\n" + chosen)
        assert resolve({}, {}, tmp_path).output_dir == "test_reports"


def test_the_surroundings_have_defaults_that_a_configuration_outranks(tmp_path: Path) -> None:
    environ = {"DT_DEFAULT_REQUIREMENTS": "auto", "DT_DEFAULT_TIMEOUT": "5m"}
    write(tmp_path, "dt.yml", "timeout: 9m\n")
    settings = resolve({}, environ, tmp_path)
    assert settings.requirements == ("auto",)
    assert settings.told_by("requirements") == "the default DT_DEFAULT_REQUIREMENTS"
    assert settings.timeout_s == 540
    assert resolve({}, {**environ, "DT_TIMEOUT": "7m"}, tmp_path).timeout_s == 420


def test_dt_starts_in_the_working_directory_and_reads_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "packages" / "core").mkdir(parents=True)
    write(tmp_path, "dt.yml", "timeout: 9m\n")
    write(tmp_path / "packages" / "core", "dt.yml", "timeout: 5m\n")
    settings = resolve({}, {"INPUT_WORKING_DIRECTORY": "packages/core"}, tmp_path)
    assert (settings.root, settings.timeout_s) == (tmp_path / "packages" / "core", 300)
    assert "is 'packages/cor', which is no directory in" in refusal(tmp_path, {"working_directory": "packages/cor"})


@pytest.mark.parametrize(
    "content", ["", "[project]\nname = 'x'\n", "[tool.ruff]\n", "broken [", "# dt\n[tool]\nx = 1\n"]
)
def test_a_pyproject_without_our_table_says_nothing(tmp_path: Path, content: str) -> None:
    write(tmp_path, "pyproject.toml", content)
    assert resolve({}, {}, tmp_path) == Settings(root=tmp_path)


def test_an_empty_yaml_file_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, "dt.yml", "# nothing yet\n")
    assert resolve({}, {}, tmp_path) == Settings(root=tmp_path)


def test_a_secret_stands_in_no_message_and_no_representation(tmp_path: Path) -> None:
    said = refusal(tmp_path, {"api_key": "sec\0ret-value", "timeout_s": "x"})
    assert "ret-value" not in said
    settings = resolve({"api_key": "secret-value", "redact": ["TOKEN", "UNSET"]}, {}, tmp_path)
    assert "secret-value" not in repr(settings)
    assert secret_values(settings, {"TOKEN": "t-1", "OTHER": "x"}) == ("secret-value", "t-1")


def test_test_code_gets_the_environment_without_our_credentials() -> None:
    environ = {
        "COORDINATOR_API_KEY": "a",
        "INPUT_API-KEY": "b",
        "INPUT_API_KEY": "c",
        "DT_API_KEY": "d",
        "PATH": "/bin",
    }
    assert without_secrets(environ) == {"PATH": "/bin"}


def test_an_option_is_unique_in_every_way_it_can_be_given() -> None:
    names = [name for row in OPTIONS for name in {row.flag, *row.environment}]
    assert len(names) == len(set(names))


def test_every_default_and_example_is_what_its_kind_reads(tmp_path: Path) -> None:
    for row in OPTIONS:
        if row.kind.is_table:
            (tmp_path / "pyproject.toml").write_text(f"[tool.dt]\n{row.key} = {row.kind.example}\n")
            assert getattr(resolve({}, {}, tmp_path), row.name)
        elif row.kind.example:
            row.kind.read(row.kind.example)
        if row.default not in (None, ()):
            written = list(row.default) if isinstance(row.default, tuple) else row.default
            assert row.kind.read(written) == row.default, row.name
