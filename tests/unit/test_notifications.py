"""What a webhook is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from past_samples import result, run_of

from dt_action.model.build import Build
from dt_action.providers.notifications import notify, payload

BUILD = Build(repository="org/shop", branch="main", commit="0123456789abcdef", url="https://ci.example/7")
RED = replace(run_of(result("t.py::ok"), result("t.py::<!channel> & `x`", "failed")), build=BUILD)
GREEN = run_of(result("t.py::ok"))
HOOK = "https://hooks.slack.com/services/T0/B0/secretsecret"


class Hook:
    """A webhook that keeps what it was told."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.told: list[Mapping[str, Any]] = []

    def __call__(self, url: str, message: Mapping[str, Any]) -> int:
        self.told.append(json.loads(json.dumps(message)))
        return self.status


def test_a_green_run_is_told_only_when_asked_for() -> None:
    hook = Hook()
    assert notify(GREEN, HOOK, when="failures", post=hook) == ()
    assert hook.told == []
    notify(GREEN, HOOK, when="always", post=hook)
    assert hook.told == [{"text": "passed: 1 passed, 0 failed, 0 skipped"}]


def test_slack_is_told_in_text_that_mentions_nobody() -> None:
    message = payload(RED, "hooks.slack.com")
    assert set(message) == {"text"}
    assert "failed: 1 passed, 1 failed, 0 skipped" in message["text"]
    assert "t.py::&lt;!channel&gt; &amp; `x`" in message["text"]
    assert "https://ci.example/7" in message["text"]


def test_teams_is_told_in_an_adaptive_card() -> None:
    message = payload(RED, "prod-1.westeurope.logic.azure.com")
    card = message["attachments"][0]["content"]
    assert message["type"] == "message"
    assert card["type"] == "AdaptiveCard"
    assert card["body"][0]["text"] == "failed: 1 passed, 1 failed, 0 skipped"
    assert card["actions"][0]["url"] == "https://ci.example/7"


def test_any_other_service_gets_fields_for_a_program() -> None:
    message = payload(RED, "hooks.example.org")
    assert message["conclusion"] == "failed"
    assert message["failures"] == ["t.py::<!channel> & `x`"]
    assert message["commit"] == "0123456789abcdef"


def test_many_failures_are_counted_rather_than_listed() -> None:
    run = run_of(*(result(f"t.py::{number}", "failed") for number in range(500)))
    assert payload(run, "x")["failures"][-1] == "and 490 more"
    assert len(json.dumps(payload(run, "x"))) < 10_000


def test_a_hook_that_refuses_or_is_away_is_a_warning_without_its_address() -> None:
    def away(url: str, message: Mapping[str, Any]) -> int:
        raise ConnectionRefusedError(url)

    refused = notify(RED, HOOK, when="failures", post=Hook(404))
    lost = notify(RED, HOOK, when="failures", post=away)
    assert refused == ("the webhook at hooks.slack.com refused the message: HTTP 404",)
    assert lost == ("the webhook at hooks.slack.com could not be told: ConnectionRefusedError",)


def test_an_address_where_nobody_answers_is_a_warning() -> None:
    (told,) = notify(RED, "http://127.0.0.1:1/hook", when="failures")
    assert told.startswith("the webhook at 127.0.0.1 could not be told")
