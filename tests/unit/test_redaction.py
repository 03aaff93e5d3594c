from __future__ import annotations

import base64
import re
import time
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import runs, sample_run

from dt_action.judging.merging import merge
from dt_action.model.case import Attempt, TestCase, TestResult
from dt_action.model.run import Run
from dt_action.options import Settings, secret_values
from dt_action.reports.redaction import Redactor

SECRET = "p@ss word/with+signs=12"


@pytest.mark.parametrize(
    "leak",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode()).decode(),
        base64.b64encode(b"ab" + SECRET.encode() + b"tail").decode(),
        base64.urlsafe_b64encode(b"a" + SECRET.encode() + b"?").decode(),
        SECRET.replace("ss w", "ss\x1b[33m w\x1b[0m"),
    ],
)
def test_a_secret_is_masked_in_every_form_in_which_it_leaks(leak: str) -> None:
    shown = Redactor([SECRET]).text(f"before {leak} after")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    core = base64.b64encode(SECRET.encode()).decode()[4:-6]
    assert SECRET not in shown
    assert core not in shown


def test_what_no_service_takes_is_replaced_in_everything_that_is_told() -> None:
    """A file's name that is not UTF-8 gives lone surrogates."""
    masked = Redactor().value(["test_\udcff.py", "größe"])
    assert masked == ["test_\ufffd.py", "größe"]


def test_two_tests_whose_names_hold_a_key_stay_two_in_every_report() -> None:
    """A project that looks for keys has them in its parameters; by the mask alone they would be one test."""
    keys = ["AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"]
    cases = [TestCase(id=f"a.py::test[{key}]", file="a.py") for key in keys]
    run = Run(id="r", results=tuple(TestResult(case=case, attempts=(Attempt(outcome="passed"),)) for case in cases))
    told = [Redactor().run(replace(run, id=name)) for name in ("r", "s")]
    assert "AKIA" not in repr(told)
    assert told[0].results == told[1].results
    assert merge(told[:1]).totals().passed == 2


def test_a_password_in_an_address_is_masked_and_the_address_stays() -> None:
    assert Redactor().text("at postgresql://app:hunter2@db:5432/x") == "at postgresql://***@db:5432/x"
    assert Redactor().text("https://host:8080/a@b") == "https://host:8080/a@b"


def test_ids_of_tests_keep_addresses_that_are_nobodys_secret() -> None:
    """requests, urllib3 and SQLAlchemy test addresses: masked ids are other tests, and two of them may be one."""
    ids = [f"test_a.py::test_url[http://{user}:pass@10.0.0.1/]" for user in ("ann", "bob", "eve")]
    sample = sample_run()
    attempt = replace(sample.results[0].attempts[0], message="GET http://ann:pass@10.0.0.1/ failed")
    results = tuple(
        replace(sample.results[0], case=replace(sample.results[0].case, id=id), attempts=(attempt,)) for id in ids
    )
    run = Redactor(secret_values(Settings(), {"DATABASE_URL": "postgresql://eve:pass@db/x"})).run(
        replace(sample, results=results)
    )
    assert [result.case.id for result in run.results] == [*ids[:2], "test_a.py::test_url[http://***@10.0.0.1/]"]
    assert {result.attempts[0].message for result in run.results} == {"GET http://***@10.0.0.1/ failed"}


def test_a_secret_of_many_lines_is_masked_whole_and_line_by_line() -> None:
    redactor = Redactor(["first-line-of-it\nsecond-line-of-it\n}\n"])
    assert redactor.text("x first-line-of-it\nsecond-line-of-it y") == "x ***\n*** y" or "line-of" not in redactor.text(
        "x first-line-of-it\nsecond-line-of-it y"
    )
    assert redactor.text("E  | second-line-of-it") == "E  | ***"
    assert redactor.text("first-line-of-it\\nsecond-line-of-it") in ("***", "***\\n***")
    assert redactor.text("} stays }") == "} stays }"


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "aB3" * 12,
        "github_pat_" + "a1_" * 20,
        "glpat-" + "x" * 20,
        "AKIA" + "ABCD" * 4,
        "xoxb-123456789012-abcdef",
        "sk-proj-" + "a" * 40,
        "hf_" + "a" * 34,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXdvcmRz",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIEow, cut off",
    ],
)
def test_what_is_shaped_like_a_key_is_masked_unasked(token: str) -> None:
    assert re.fullmatch(r"token: \*\*\*[0-9a-f]{4}", Redactor().text(f"token: {token}"))


@pytest.mark.parametrize(
    "text", ["ghp_short", "AKIA", "task-force", "disk-usage", "sk-1", "test_xox", "-----BEGIN CERTIFICATE-----"]
)
def test_ordinary_words_stay(text: str) -> None:
    assert Redactor().text(text) == text


def test_short_secrets_do_not_mask_everything() -> None:
    assert Redactor(["", "a", "  ", "123"]).text("a 123 b") == "a 123 b"


@given(runs)
def test_a_clean_run_is_left_as_it_is(run: Run) -> None:
    encodable = Redactor().run(run)
    assert Redactor(["a-secret-that-is-nowhere"]).run(encodable) == encodable


@given(st.text(alphabet="ab-_ghpsk:.eyJ\n", max_size=200))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    redactor = Redactor(["abba"])
    assert redactor.text(redactor.text(text)) == redactor.text(text)


def test_everything_in_a_run_is_masked() -> None:
    run = sample_run()
    words = ["test_total", "ConnectionError", "box-2 died", "needs 2 cuda", "skipf", "M3XX"]
    masked = repr(Redactor(words).run(run))
    for word in words:
        assert word not in masked


def test_hostile_text_does_not_take_long() -> None:
    text = ("-----BEGIN " + "A" * 30 + " PRIVATE KEY-----" + "eyJ" * 500 + "." + "sk-" * 500) * 40
    began = time.perf_counter()
    Redactor(["x" * 50]).text(text)
    assert time.perf_counter() - began < 5
