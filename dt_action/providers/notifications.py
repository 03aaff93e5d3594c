"""Telling a webhook how a run went: Slack's and Teams' messages, and plain JSON for a service of your own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from dt_action.model.run import Run
from dt_action.reports.formats.text import one_line
from dt_action.reports.renderers.digest import digest, headline

TIMEOUT_S = 10.0
MOST_NAMES = 10
_NAME_CHARACTERS = 150

Post = Callable[[str, Mapping[str, Any]], int]
"""Sends JSON to an address and gives the HTTP status. Raises OSError where nobody answers."""


def notify(run: Run, url: str, *, when: str, post: Post | None = None) -> tuple[str, ...]:
    """
    Tell the webhook at `url` of a run that holds no secrets; where `when` is `failures`, only of one that is not green.

    Returns what went wrong, in words without the address, which is a secret; never raises for that.
    """
    if when != "always" and run.conclusion() in ("passed", "skipped"):
        return ()
    host = urlsplit(url).hostname or "?"
    message = payload(run, host)
    try:
        status = (post or _post)(url, message)
    except OSError as error:
        return (f"the webhook at {host} could not be told: {type(error).__name__}",)
    return () if 200 <= status < 300 else (f"the webhook at {host} refused the message: HTTP {status}",)


def payload(run: Run, host: str) -> dict[str, Any]:
    """
    The message for a host: an adaptive card for Teams, text for Slack and the like, and fields for a program.

    Slack: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    Teams: https://learn.microsoft.com/power-automate/teams/send-a-message-in-teams
    """
    seen = digest(run)
    title = one_line(headline(seen), 300)
    names = [one_line(result.id, _NAME_CHARACTERS) for result in seen.failures[:MOST_NAMES]]
    more = len(seen.failures) - len(names)
    names += [f"and {more} more"] if more > 0 else []
    where = one_line(" ".join(filter(None, [run.build.repository, run.build.branch, run.build.commit[:12]])), 300)
    if _is_teams(host):
        return _card(title, where, names, run.build.url)
    text = "\n".join([_safe(title), *([_safe(where)] if where else []), *(f"• {_safe(name)}" for name in names)])
    if run.build.url:
        text += f"\n{run.build.url}"
    if host.endswith("slack.com"):  # refuses a message with fields that it does not know
        return {"text": text}
    return {
        "text": text,
        "conclusion": run.conclusion(),
        "summary": seen.totals.line(),
        "failures": names,
        "repository": run.build.repository,
        "branch": run.build.branch,
        "commit": run.build.commit,
        "url": run.build.url,
    }


def _is_teams(host: str) -> bool:
    return host.endswith((".office.com", ".logic.azure.com", ".api.powerplatform.com"))


def _card(title: str, where: str, names: Sequence[str], url: str) -> dict[str, Any]:
    texts = [{"type": "TextBlock", "text": title, "weight": "Bolder", "wrap": True}]
    texts += [{"type": "TextBlock", "text": text, "isSubtle": True, "wrap": True} for text in [where] if text]
    texts += [{"type": "TextBlock", "text": name, "fontType": "Monospace", "wrap": True} for name in names]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": texts,
    }
    if url:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open", "url": url}]
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def _safe(text: str) -> str:
    """Slack reads `<!channel>` and links in angle brackets: https://docs.slack.dev/messaging/formatting-message-text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _post(url: str, message: Mapping[str, Any]) -> int:
    import requests

    try:
        return requests.post(url, json=message, timeout=TIMEOUT_S, allow_redirects=False).status_code
    except ValueError as error:  # an address that requests cannot take apart
        raise OSError(type(error).__name__) from None
