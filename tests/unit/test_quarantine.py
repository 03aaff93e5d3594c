"""dt.quarantine.yml."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.errors import ConfigurationError
from dt_action.judging.quarantine import Quarantine, parse_quarantine, read_quarantine

TODAY = date(2026, 6, 15)


def quarantine(text: str) -> Quarantine:
    return parse_quarantine(text.encode(), TODAY)


def entry(id: str, expires: str = "2026-12-31", **more: str) -> str:
    return "\n".join(
        [f'- id: "{id}"', "  reason: why", f"  expires: {expires}", *(f"  {k}: {v}" for k, v in more.items())]
    )


def test_an_entry_tells_reason_owner_issue_and_its_end() -> None:
    (found,) = quarantine(entry("t.py::a", owner='"@team"', issue="https://x/1")).tolerated(["t.py::a", "t.py::b"])
    assert found.id == "t.py::a"
    assert found.reason == "in quarantine until 2026-12-31: why"
    assert (found.owner, found.issue) == ("@team", "https://x/1")


def test_brackets_are_part_of_an_id_and_a_star_is_anything() -> None:
    some = quarantine(entry("t.py::a[1]") + "\n" + entry("gpu/*::test_?"))
    told = [item.id for item in some.tolerated(["t.py::a[1]", "t.py::a1", "gpu/x/t.py::test_1", "gpu/t.py::test_12"])]
    assert told == ["t.py::a[1]", "gpu/x/t.py::test_1"]


def test_brackets_in_a_glob_are_no_set_of_characters() -> None:
    told = quarantine(entry("t.py::a[*-1]")).tolerated(["t.py::a[x-1]", "t.py::ax-1", "t.py::a-1"])
    assert [item.id for item in told] == ["t.py::a[x-1]"]


def test_an_exact_id_is_preferred_to_a_glob() -> None:
    some = quarantine(entry("t.py::*") + "\n" + entry("t.py::a", owner="me"))
    assert [item.owner for item in some.tolerated(["t.py::a", "t.py::b"])] == ["me", ""]


def test_an_entry_holds_through_its_last_day_and_then_says_that_it_ended() -> None:
    last, over = quarantine(entry("t.py::a", "2026-06-15")), quarantine(entry("t.py::*", "2026-06-14"))
    assert [*last.tolerated(["t.py::a"])] and not [*last.expired(["t.py::a"])]
    assert [*over.tolerated(["t.py::a"])] == []
    assert [*over.expired(["t.py::a"])] == ["the quarantine of t.py::* expired on 2026-06-14: its failures count again"]
    assert [*over.expired(["u.py::a"])] == []


def test_an_entry_whose_case_passes_is_asked_about() -> None:
    assert "does it still need" in next(quarantine(entry("t.py::a")).idle(["t.py::a"]))


def test_no_file_and_an_empty_file_are_no_quarantine(tmp_path: Path) -> None:
    assert read_quarantine(tmp_path, TODAY).entries == ()
    assert quarantine("# nothing yet\n").entries == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: b", "expected a list, found dict"),
        ("- t.py::a", "expected keys and values"),
        ("- {id: t.py::a, reason: r}", "expected a day at 'expires'"),
        ("- {id: t.py::a, reason: r, expires: soon}", "found 'soon'"),
        ("- {id: t.py::a, expires: 2026-12-31}", "expected text at 'reason', found nothing"),
        ("- {id: [a], reason: r, expires: 2026-12-31}", "expected text at 'id'"),
        ("- {id: a, reason: r, expiry: 2026-12-31}", "did you mean 'expires'?"),
        ("- {id: a, reason: r, expires: 2026-02-31}", "is not YAML"),
        ("- [", "is not YAML"),
        ("!!python/object/apply:os.system [true]", "is not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        quarantine(text)
    assert told in str(error.value)
    assert "dt.quarantine.yml" in str(error.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as error:
        quarantine("- {id: a}\n- {reason: r}\n" + entry("good"))
    assert "2 problems" in str(error.value)
    assert "entry 1" in str(error.value) and "entry 2" in str(error.value)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(alphabet="-{}[]:,&*!|>%@`'\"#?~ \n\tabid10expires", max_size=120).map(str.encode),
    )
)
def test_any_bytes_are_a_quarantine_or_an_error_for_the_user(content: bytes) -> None:
    try:
        parse_quarantine(content, TODAY)
    except ConfigurationError:
        pass


GOOD = (entry("t.py::a[1]", owner="me", issue="3") + "\n" + entry("b/*")).encode()


@given(st.integers(0, len(GOOD)))
def test_a_truncated_quarantine_is_read_or_refused(length: int) -> None:
    try:
        assert len(parse_quarantine(GOOD[:length], TODAY).entries) <= 2
    except ConfigurationError:
        pass


@pytest.mark.parametrize(
    "content",
    [b"[" * 20_000, b"- " * 20_000, b"a: &a [x]\nb: &b [*a,*a]\nc: [*b,*b]", b"x" * (5 << 20)],
    ids=["deep", "deep list", "aliases", "huge"],
)
def test_hostile_content_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError):
        parse_quarantine(content, TODAY)
