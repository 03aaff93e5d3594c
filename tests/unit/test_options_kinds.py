"""How text becomes a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.model.plan import Shard
from dt_action.options.kinds import (
    ARGUMENTS,
    DURATION,
    GLOBS_BY_NAME,
    SHARD,
    SWITCH,
    URL,
    WORKERS,
    at_least,
    choice,
    many,
    split_words,
    text,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("1.5m", 90), ("500ms", 0.5), ("2 H", 7200)],
)
def test_a_duration_is_read_in_every_documented_spelling(written: str, seconds: float) -> None:
    assert DURATION.read(written) == pytest.approx(seconds)


def test_a_number_from_a_configuration_file_is_a_duration_in_seconds() -> None:
    assert DURATION.read(90) == 90
    assert DURATION.read(0.5) == 0.5


@pytest.mark.parametrize(
    "written", ["", "0", "0s", "-5", "5x", "m", "1h m", "inf", "nan", "1e3", "999999d", True, None, [5], "5m;rm"]
)
def test_what_is_no_positive_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError):
        DURATION.read(written)


@given(st.integers(min_value=1, max_value=10**6), st.sampled_from(["s", "m"]))
def test_a_duration_means_its_number_times_its_unit(number: int, unit: str) -> None:
    size = {"s": 1, "m": 60}[unit]
    if number * size <= 365 * 86400:
        assert DURATION.read(f"{number}{unit}") == number * size


@pytest.mark.parametrize("written", ["0/4", "5/4", "1/0", "1", "a/b", "1/4/4", "-1/4"])
def test_a_shard_outside_its_count_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        SHARD.read(written)


@given(st.integers(1, 999), st.integers(0, 999))
def test_a_shard_survives_being_written(index: int, more: int) -> None:
    shard = Shard(index=index, count=index + more)
    assert SHARD.read(str(shard)) == shard


def test_workers_are_a_number_or_auto() -> None:
    assert WORKERS.read("auto") is None
    assert WORKERS.read(4) == 4
    for written in ("0", "-1", "two", "1.5", ""):
        with pytest.raises(ValueError):
            WORKERS.read(written)


@pytest.mark.parametrize(
    "written", ["ftp://x", "https://", "dt.example.org", "https://a b", "https://x:port", "javascript:1"]
)
def test_an_address_needs_http_and_a_host(written: str) -> None:
    with pytest.raises(ValueError):
        URL.read(written)


def test_an_address_loses_its_last_slash() -> None:
    assert URL.read("https://dt.example.org/") == "https://dt.example.org"


def test_a_choice_is_read_in_any_case_and_nothing_else_is() -> None:
    kind = choice("json", "md")
    assert kind.read("JSON") == "json"
    with pytest.raises(ValueError):
        kind.read("pdf")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("a b", ["a", "b"]),
        ("a,b, c", ["a", "b", "c"]),
        ('"with space.py" b', ["with space.py", "b"]),
        ("one name.py\nother, name.py\n", ["one name.py", "other, name.py"]),
        (r"tests\test_a.py", [r"tests\test_a.py"]),
        ("#no-comment", ["#no-comment"]),
        ("tests/test_it's.py\n", None),
    ],
)
def test_text_is_taken_apart_at_commas_spaces_or_lines(written: str, words: list[str] | None) -> None:
    if words is None:
        with pytest.raises(ValueError):
            split_words(written)
    else:
        assert split_words(written) == words


def test_a_list_keeps_order_and_drops_repeats() -> None:
    assert many(choice("json", "md", "html")).read("md json,md") == ("md", "json")
    assert many(choice("json", "md", "html")).read(["md,json", "html"]) == ("md", "json", "html")


def test_a_named_file_in_a_list_may_hold_commas_and_spaces() -> None:
    assert many(text("a file", "x")).read(["a, b.py"]) == ("a, b.py",)


@pytest.mark.parametrize("written", [" ", ",", [], [""], {"a": 1}, True])
def test_an_empty_list_is_refused(written: object) -> None:
    with pytest.raises(ValueError):
        many(text("a file", "x")).read(written)


@pytest.mark.parametrize(("written", "value"), [("yes", True), ("0", False), (True, True), ("OFF", False)])
def test_a_switch_is_read(written: object, value: bool) -> None:
    assert SWITCH.read(written) is value


def test_arguments_are_split_as_a_shell_does() -> None:
    assert ARGUMENTS.read("-k 'a or b' -x") == ("-k", "a or b", "-x")
    assert ARGUMENTS.read(["-k", "a or b"]) == ("-k", "a or b")
    with pytest.raises(ValueError):
        ARGUMENTS.read("-k 'open")


def test_a_table_of_globs_takes_one_glob_or_several() -> None:
    assert GLOBS_BY_NAME.read({"nightly": "slow/**", "gpu": ["a", "b"]}) == {"nightly": ("slow/**",), "gpu": ("a", "b")}
    with pytest.raises(ValueError):
        GLOBS_BY_NAME.read("nightly")


def test_a_count_is_whole_and_not_too_small() -> None:
    assert at_least(1).read("3") == 3
    for written in ("0", "1.5", "-1", "9999999999", True):
        with pytest.raises(ValueError):
            at_least(1).read(written)
