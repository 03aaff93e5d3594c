"""An answer that is not what the reference promises is told in words; nothing breaks, and no token is told."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from dt_action.model.case import Attempt, TestCase, TestResult
from dt_action.model.report import Annotation, Publication
from dt_action.model.run import Run
from dt_action.providers.github import GitHub
from dt_action.providers.github_api import GitHubApi, connect
from dt_action.providers.gitlab import GitLab
from dt_action.providers.rest import Rest
from dt_action.providers.settings import Settings

FAILED = Run(
    id="r", results=(TestResult(case=TestCase(id="a.py::t", file="a.py"), attempts=(Attempt(outcome="failed"),)),)
)
REMARK = Annotation(path="a.py", line=1, level="failure", title="failed: t", message="boom")
PUBLICATION = Publication(title="Tests", summary_markdown="# Tests\n", annotations=(REMARK,))


class Service:
    """Answers every request alike; keeps what was asked."""

    def __init__(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.answer = (status, content, headers or {})
        self.asked: list[str] = []

    def request(self, method: str, url: str, **_: Any) -> requests.Response:
        self.asked.append(f"{method} {url}")
        response = requests.Response()
        response.status_code, response._content = self.answer[:2]
        response.headers.update(self.answer[2])
        response.reason = "Reason"
        return response


def published(service: Service, tmp_path: Path, name: str, token: str = "ghs_0123456789") -> tuple[str, list[str]]:
    """What was refused, and the lines in the log."""
    lines: list[str] = []
    settings = Settings(token=token, comment="always", check_run_id=5, output_dir=str(tmp_path / "out"))
    event = tmp_path / "event.json"
    head = {"sha": "a" * 40, "repo": {"full_name": "team/app"}}
    event.write_text(json.dumps({"pull_request": {"number": 7, "head": head, "base": {"ref": "main"}}}))

    def connected(url: str, repository: str, token: str) -> GitHubApi:
        return connect(url, repository, token, transport=service, sleep=lambda _: None, write_pause_s=0)

    if name == "github":
        environ = {"GITHUB_REPOSITORY": "team/app", "GITHUB_EVENT_PATH": str(event)}
        provider: GitHub | GitLab = GitHub(environ, settings, write=lines.append, connect_api=connected)
    else:
        environ = {"CI_MERGE_REQUEST_IID": "7", "CI_PROJECT_ID": "12", "CI_SERVER_URL": "https://gitlab.example/git"}

        def rest(url: str, token: str) -> Rest:
            headers = {"PRIVATE-TOKEN": token}
            return Rest(url=url, headers=headers, transport=service, sleep=lambda _: None, write_pause_s=0)

        provider = GitLab(environ, settings, write=lines.append, connect_api=rest)
    return "\n".join(provider.publish(FAILED, PUBLICATION)), lines


@pytest.mark.parametrize("name", ["github", "gitlab"])
@pytest.mark.parametrize(
    "content", [b"null", b"[]", b"[null]", b"{}", b'"word"', b"", b"<html>log in</html>", b'{"id": "x"}', b"[" * 9999]
)
def test_an_answer_of_another_shape_is_a_word_and_the_annotations_go_to_the_log(
    name: str, content: bytes, tmp_path: Path
) -> None:
    refused, lines = published(Service(200, content), tmp_path, name)
    assert "answer" in refused
    assert name == "gitlab" or any(line.startswith("::error ") for line in lines) or content == b"[]"


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (422, b'{"message": "Validation Failed", "errors": "one sentence"}', "422 Validation Failed; one sentence"),
        (403, b'{"message": "Unable to create comment because issue is locked."}', "because issue is locked."),
        (403, b'{"message": "Resource not accessible by integration"}', "permissions: pull-requests: write"),
        (401, b'{"message": "Bad credentials"}', "is valid no more"),
    ],
)
def test_a_refusal_is_told_in_the_services_words_and_a_hint_only_where_it_is_right(
    status: int, content: bytes, words: str, tmp_path: Path
) -> None:
    refused, _ = published(Service(status, content), tmp_path, "github")
    assert words in refused
    assert ("permissions:" in refused) == ("not accessible" in refused)


@pytest.mark.parametrize("status", [403, 429])
def test_a_rate_limit_is_no_missing_permission_and_asks_for_no_second_check(status: int, tmp_path: Path) -> None:
    service = Service(status, b'{"message": "API rate limit exceeded"}', {"retry-after": "3600"})
    refused, lines = published(service, tmp_path, "github")
    assert "the annotations: " in refused
    assert "permissions:" not in refused
    assert [line for line in lines if line.startswith("::error ")]
    assert not [asked for asked in service.asked if "/commits/" in asked]


@pytest.mark.parametrize("name", ["github", "gitlab"])
@pytest.mark.parametrize("token", ["glpat-0123\n456789", "ghs_\u2019456789", "ghs_ab\tc456789"])
def test_a_token_that_cannot_be_sent_is_told_without_it(name: str, token: str, tmp_path: Path) -> None:
    service = Service(200, b"[]")
    refused, _ = published(service, tmp_path, name, token)
    assert "the token cannot be sent" in refused
    assert "456789" not in refused
    assert not service.asked


def test_a_token_is_not_sent_on_to_where_a_proxy_redirects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, bool] = {}

    def send(self: HTTPAdapter, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        sent[str(request.url).split("/")[2]] = "glpat-0123456789" in repr(request.headers)
        response = requests.Response()
        response.status_code, response._content, response.raw = 302, b"", io.BytesIO()
        response.request, response.url = request, str(request.url)
        response.headers["location"] = "https://sign-in.example/login"
        if "sign-in" in str(request.url):
            response.status_code = 403
        return response

    monkeypatch.setattr(HTTPAdapter, "send", send)
    environ = {"CI_MERGE_REQUEST_IID": "7", "CI_PROJECT_ID": "12", "CI_API_V4_URL": "https://gitlab.example/api/v4"}
    settings = Settings(token="glpat-0123456789", comment="always", output_dir=str(tmp_path))
    assert GitLab(environ, settings, write=print).publish(FAILED, PUBLICATION)
    assert sent == {"gitlab.example": True, "sign-in.example": False}
