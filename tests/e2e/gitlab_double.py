"""A double of the part of GitLab's API v4 that dt uses, over real HTTP: users, notes of a merge request, awards."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Json = Any
TOKENS = {"glpat-bot": 9, "glpat-person": 5}
NOTE_CHARACTERS = 1_000_000


class RefusalError(Exception):
    """An answer of 4xx."""

    def __init__(self, status: int, message: Json) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class GitLabDouble:
    """
    One project with merge request 7.

    Of a page of notes those are left out that the user may not see (`unreadable`), so that one may be short, and be
    followed by others; the header `link` says so (gitlab, lib/api/notes.rb).

    `has_awards` False is a GitLab, or a role, that knows none. `lets_two_in` True lets two awards of one user through
    that come at the same moment, since GitLab looks first and then writes. `refuses` is a status for every write.
    """

    notes: list[Json] = field(default_factory=list)
    awards: dict[int, Json] = field(default_factory=dict)
    has_awards: bool = True
    lets_two_in: bool = False
    refuses: int = 0
    unreadable: set[int] = field(default_factory=set)
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    url: str = ""
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(100))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, method: str, target: str, token: str, body: Json) -> tuple[int, Json]:
        address = urlsplit(target)
        path = unquote(address.path).removeprefix("/api/v4")
        with self._lock:
            try:
                status, answer = self._answer(method, path, dict(parse_qsl(address.query)), TOKENS.get(token), body)
            except RefusalError as refusal:
                status, answer = refusal.status, {"message": refusal.message}
            self.requests.append((method, path, status))
        return status, answer

    def _answer(self, method: str, path: str, query: dict[str, str], user: int | None, body: Json) -> tuple[int, Json]:
        if user is None:
            raise RefusalError(401, "401 Unauthorized")
        if path == "/user":
            return 200, {"id": user, "username": "dt"}
        found = re.fullmatch(
            r"/projects/(?:12|team/app)/merge_requests/7/notes(?:/(\d+))?(/award_emoji)?(?:/(\d+))?", path
        )
        if found is None:
            raise RefusalError(404, "404 Not found")
        if method != "GET" and self.refuses:
            raise RefusalError(self.refuses, f"{self.refuses} Forbidden")
        if found[2]:
            return self._awards(method, self._note(int(found[1])), found[3], user, body)
        return self._notes(method, found[1], query, user, body)

    def _notes(self, method: str, number: str | None, query: dict[str, str], user: int, body: Json) -> tuple[int, Json]:
        if method == "POST":
            return 201, self.add_note(body["body"], user)
        if number is None:
            ordered = self.notes if query.get("sort") == "asc" else self.notes[::-1]
            return 200, [note for note in _page(ordered, query) if note["id"] not in self.unreadable]
        note = self._note(int(number))
        if method == "GET":
            return 200, note
        if note["author"]["id"] != user:
            raise RefusalError(403, "403 Forbidden")
        if method == "PUT":
            note["body"] = _checked(body["body"])
            return 200, note
        self.notes.remove(note)
        return 204, None

    def _awards(self, method: str, note: Json, award: str | None, user: int, body: Json) -> tuple[int, Json]:
        if not self.has_awards:
            raise RefusalError(404, "404 Not Found")
        of_note = [item for item in self.awards.values() if item["awardable_id"] == note["id"]]
        if method == "GET":
            return 200, of_note
        if method == "POST":
            mine = [item for item in of_note if (item["user"]["id"], item["name"]) == (user, body["name"])]
            if len(mine) > self.lets_two_in:
                raise RefusalError(404, "404 Award Emoji Name has already been taken Not Found")
            number = next(self._ids)
            self.awards[number] = {
                "id": number,
                "name": body["name"],
                "user": {"id": user},
                "awardable_id": note["id"],
                "awardable_type": "Note",
            }
            return 201, self.awards[number]
        if award is None or int(award) not in self.awards:
            raise RefusalError(404, "404 Award Emoji Not Found")
        del self.awards[int(award)]
        return 204, None

    def link(self, target: str) -> str:
        """What the header `link` of a list says."""
        query = dict(parse_qsl(urlsplit(target).query))
        page, size = int(query.get("page", 1)), int(query.get("per_page", 20))
        followed = [f'<{self.url}{target}&page={page + 1}>; rel="next"'] if page * size < len(self.notes) else []
        return ", ".join([*followed, f'<{self.url}{target}&page=1>; rel="first"'])

    def _note(self, number: int) -> Json:
        for note in self.notes:
            if note["id"] == number:
                return note
        raise RefusalError(404, "404 Not found")

    def add_note(self, body: str, user: int) -> Json:
        note = {"id": next(self._ids), "body": _checked(body), "author": {"id": user}, "system": False}
        self.notes.append(note)
        return note


def _checked(body: str) -> str:
    if not body.strip():
        raise RefusalError(400, '400 Bad request - Note {:note=>["can\'t be blank"]}')
    if len(body) > NOTE_CHARACTERS:
        raise RefusalError(400, '400 Bad request - Note {:note=>["is too long (maximum is 1000000 characters)"]}')
    return body


def _page(items: list[Json], query: dict[str, str]) -> list[Json]:
    size = min(int(query.get("per_page", 20)), 100)
    start = (int(query.get("page", 1)) - 1) * size
    return items[start : start + size]


@contextmanager
def serving(double: GitLabDouble) -> Iterator[GitLabDouble]:
    """The double, answering on `double.url` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.loads(raw) if raw else None
            token = self.headers.get("private-token") or self.headers.get("authorization", "").removeprefix("Bearer ")
            status, answer = double.handle(self.command, self.path, token, body)
            data = b"" if status == 204 else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            if isinstance(answer, list):
                self.send_header("link", double.link(self.path))
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
