"""What the history proposes for the quarantine: flaky tests go in, with owner and end; what passed long goes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from dt_action.history.flaky import Flaky, flaky_tests
from dt_action.history.records import RunRecord
from dt_action.judging.quarantine import Entry, Quarantine

LEAST_FLAKY = 2
"""Once may be a machine's fault."""

LASTS_DAYS = 30
FORGOTTEN_DAYS = 30
"""A test that was last flaky so long ago is not put in."""

LEAST_PASSES = 20
"""A test that passed on so many commits in a row, without a retry, may leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Entries to add, and those to remove with the reason for each."""

    added: tuple[Entry, ...] = ()
    removed: tuple[tuple[Entry, str], ...] = ()

    def lines(self) -> list[str]:
        """A line for each change; none where there is none."""
        added = [
            f"add {entry.id} until {entry.expires}{f' ({entry.owner})' if entry.owner else ''}: {entry.reason}"
            for entry in self.added
        ]
        return added + [f"remove {entry.id}: {why}" for entry, why in self.removed]


def propose(
    records: Sequence[RunRecord], quarantine: Quarantine, owner_of: Callable[[str], str] = lambda file: ""
) -> Proposal:
    """
    What to change, by records with the newest first. `owner_of` a test file is noted with its tests.

    A test counts as flaky where it passed and failed on one commit. One that fails every time is broken, and stays out.
    An entry that ended is renewed where its test is still flaky, and goes where it passes. Globs are a person's.
    """
    today = quarantine.today
    flaky = ranked(flaky_tests(records))
    held = {item.id for item in quarantine.tolerated(item.id for item in flaky)}
    added = [
        Entry(
            id=item.id,
            reason=_evidence(item),
            owner=owner_of(item.id.partition("::")[0]),
            expires=today + timedelta(days=LASTS_DAYS),
        )
        for item in flaky
        if item.flaky >= LEAST_FLAKY
        and item.id not in held
        and today - _day(item.last_seen) <= timedelta(days=FORGOTTEN_DAYS)
    ]
    renewed = {entry.id for entry in added}
    removed = []
    for entry in quarantine.entries:
        passes = 0 if entry.is_glob else _passes(records, entry.id)
        if entry.id in renewed:
            removed.append((entry, "it ended, and its test is still flaky"))
        elif passes >= LEAST_PASSES:
            removed.append((entry, f"passed on the last {passes} commits"))
    return Proposal(added=tuple(added), removed=tuple(removed))


def ranked(flaky: Iterable[Flaky]) -> list[Flaky]:
    """The costliest first: by how many commits were hit, then by the seconds lost."""
    return sorted(flaky, key=lambda item: (-item.flaky, -item.cost_s, item.id))


def edited(content: str, proposal: Proposal) -> str:
    """
    The quarantine's file after the changes, with everything else in it, comments too, as it stands.

    A list in one line (`[...]`) is written anew, without its comments.
    """
    import yaml

    lines = content.splitlines(keepends=True)
    root = yaml.compose(content) if content.strip() else None
    gone = {entry.id for entry, _ in proposal.removed}
    if root is not None and getattr(root, "flow_style", False):
        from dt_action.judging.quarantine import parse_quarantine

        entries = parse_quarantine(content.encode(), date.min).entries
        return "".join(map(_line, [entry for entry in entries if entry.id not in gone] + [*proposal.added]))
    items = root.value if root is not None else []
    for number, item in reversed([*enumerate(items)]):
        if str(yaml.safe_load(yaml.serialize(item)).get("id")) in gone:
            start = item.start_mark.line
            end = items[number + 1].start_mark.line if number + 1 < len(items) else len(lines)
            while end > start + 1 and lines[end - 1].lstrip().startswith("#"):
                end -= 1  # a comment stands before what it is about
            del lines[start:end]
    text = "".join(lines)
    return text + ("" if not text or text.endswith("\n") else "\n") + "".join(map(_line, proposal.added))


def _line(entry: Entry) -> str:
    words = {"id": entry.id, "reason": entry.reason, "owner": entry.owner, "issue": entry.issue}
    told = [f"{key}: {_quoted(value)}" for key, value in words.items() if value]
    return f"- {{{', '.join([*told, f'expires: {entry.expires}'])}}}\n"


def _quoted(text: str) -> str:
    """A string of YAML, in which whatever is not printable is told by its number."""
    plain = (char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}" for char in text)
    return f'"{"".join(plain)}"'


def _evidence(item: Flaky) -> str:
    where = f" ({', '.join(item.environments)})" if item.environments else ""
    seen = f"from {_day(item.first_seen)} to {_day(item.last_seen)}"
    return f"passed and failed on the same code in {item.flaky} of {item.runs} commits, {seen}{where}"


def _passes(records: Iterable[RunRecord], case: str) -> int:
    """On how many commits a test passed without a retry since it last did not."""
    commits: set[str] = set()
    for record in records:
        seen = record.cases.get(case)
        if seen is None or seen.outcome == "skipped":
            continue
        if seen.is_failing or seen.is_flaky:
            commits.discard(record.commit or record.id)
            break
        commits.add(record.commit or record.id)
    return len(commits)


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, tz=timezone.utc).date()
