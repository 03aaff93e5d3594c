"""
What many jobs tell in one place: a line for each job, and what the worst of them says at the top.

A comment, a note and a check run are pictures of a `Board`. Jobs that know nothing of one another each add an `Entry`;
joining boards is the same in any order and any number of times, so whoever writes last can only add.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from dt_action.errors import UnreadableError
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.run import CONCLUSIONS, Conclusion, Run, worst
from dt_action.providers.job import Job, Order, named
from dt_action.reports.formats.markdown_fit import fit
from dt_action.reports.formats.text import one_line, seconds
from dt_action.reports.renderers.badge import standing_of
from dt_action.reports.renderers.digest import conclusion_word
from dt_action.reports.renderers.markdown import SIGNS, code

MOST_ENTRIES = 400
LEAST_SECTION_BYTES = 400
"""Less than this of a section says nothing."""

_MOST_DATA_BYTES = 1 << 20
_FIRST_JOB_ID = 1_000  # GitLab counts no attempts; the number of the job stands for them
_MARK = re.compile(r"<!-- distributed-testing key=(?P<key>\S+) board=(?P<data>[A-Za-z0-9+/=]+) -->\n?")
_OLD_MARK = re.compile(r"<!-- distributed-testing key=(?P<key>\S+?)(?: order=\S+ state=\S+)? -->")
_HEADING = re.compile(r"\A#{1,3} [^\n]*\n+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    What one job says of one commit.

    `key` is the same for every attempt and run of this job (and leg of a matrix, and step), `writer` for this one run
    alone. `title` is what people call the job, `workflow` what it belongs to, `trigger` the event that started that.
    `text` is the job's own summary.
    """

    key: str
    writer: str
    title: str
    workflow: str = ""
    trigger: str = ""
    run: int = 0
    attempt: int = 1
    commit: str = ""
    conclusion: Conclusion = "passed"
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    flaky: int = 0
    duration_s: float = 0.0
    url: str = ""
    text: str = ""

    @property
    def order(self) -> Order:
        """A later run has a greater one, and so has a later attempt at the same run."""
        return self.run, self.attempt

    @property
    def name(self) -> tuple[str, Order, str]:
        """What tells this entry from all others."""
        return self.key, self.order, self.writer

    @property
    def is_good(self) -> bool:
        """True where there is nothing that a person should look at."""
        return self.conclusion in ("passed", "skipped") and not self.flaky

    def counts(self) -> str:
        """`N passed, N failed, N skipped`."""
        return f"{self.passed:,} passed, {self.failed:,} failed, {self.skipped:,} skipped"


@dataclass(frozen=True, slots=True)
class Board:
    """Entries of one commit, the newest that is known; `with_` and `join` keep it so. The worst one comes first."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def from_entries(cls, entries: Iterable[Entry]) -> Board:
        """
        The entries that still say something.

        Those of another commit than the newest run's do not, nor does an attempt at a job after which another one came.
        Two runs with one key and one order are two jobs that nobody can tell apart: both stay.
        """
        distinct = {entry.name: entry for entry in sorted(entries, key=_rank)}
        if not distinct:
            return cls()
        newest = max(distinct.values(), key=lambda entry: (entry.order, entry.commit))
        latest: dict[str, Order] = {}
        for entry in distinct.values():
            if entry.commit == newest.commit:
                latest[entry.key] = max(entry.order, latest.get(entry.key, entry.order))
        kept = [item for item in distinct.values() if item.commit == newest.commit and item.order == latest[item.key]]
        return cls(tuple(sorted(kept, key=_rank)[:MOST_ENTRIES]))

    def with_(self, entry: Entry) -> Board:
        """The board after a job has told how it went; what it said before of the same run no longer counts."""
        return Board.from_entries((*(other for other in self.entries if other.name != entry.name), entry))

    def join(self, *others: Board) -> Board:
        """What several boards say together."""
        return Board.from_entries(entry for board in (self, *others) for entry in board.entries)

    def rivals_of(self, entry: Entry) -> tuple[Entry, ...]:
        """The jobs that cannot be told from the one that wrote `entry`."""
        return tuple(
            other
            for other in self.entries
            if (other.key, other.order) == (entry.key, entry.order) and other.writer != entry.writer
        )

    @property
    def conclusion(self) -> Conclusion:
        """The worst that an entry says."""
        return worst(entry.conclusion for entry in self.entries)

    def counts(self) -> str:
        """`N passed, N failed, N skipped` over all entries."""
        passed, failed, skipped = (
            sum(getattr(entry, name) for entry in self.entries) for name in ("passed", "failed", "skipped")
        )
        return f"{passed:,} passed, {failed:,} failed, {skipped:,} skipped"

    def title(self) -> str:
        """The counts, after the number of jobs where there are several: `3 jobs: 12 passed, 1 failed, 0 skipped`."""
        jobs = f"{len(self.entries)} jobs: " if len(self.entries) > 1 else ""
        return f"{jobs}no tests" if self.conclusion == "no-tests" else f"{jobs}{self.counts()}"

    # --- as Markdown ----------------------------------------------------------------------------------------------

    def markdown(self, budget_bytes: int, note: str, *, server_url: str = "", repository: str = "") -> str:
        """
        The board for people, in at most `budget_bytes`: a lone job's own summary, else a table and what each one says.

        Texts share what the table leaves, those of the worst jobs first; `note` ends one that had to be cut.
        """
        if len(self.entries) == 1:
            return fit(self.entries[0].text, budget_bytes, note)
        head = self.table(server_url=server_url, repository=repository)
        if _size(head) > budget_bytes:
            return fit(head, budget_bytes, note)
        return head + "".join(f"\n{section}" for section in self._sections(budget_bytes - _size(head), note) if section)

    def table(self, *, server_url: str = "", repository: str = "") -> str:
        """What the jobs say together, and a line for each."""
        said = self.conclusion
        commit = self.entries[0].commit if self.entries else ""
        shown = f"`{commit[:7]}`" if commit else "the same commit"
        if commit and server_url and repository:
            shown = f"[{shown}]({server_url}/{repository}/commit/{commit})"
        rows = [
            f"| {name} | {SIGNS[entry.conclusion]} {conclusion_word(entry.conclusion)} | {entry.passed:,} "
            f"| {entry.failed:,} | {entry.skipped:,} | {entry.flaky:,} | {seconds(entry.duration_s)} |"
            for name, entry in zip(self._names(), self.entries, strict=True)
        ]
        return "\n".join(
            [
                f"## {SIGNS[said]} {conclusion_word(said)}: {self.counts()}",
                "",
                f"Results of {len(self.entries)} jobs for commit {shown}.",
                "",
                "| job | result | passed | failed | skipped | flaky | time |",
                "| --- | --- | --- | --- | --- | --- | --- |",
                *rows,
                "",
            ]
        )

    def _names(self) -> list[str]:
        """The jobs' names with links, each another one; the workflow and its trigger where there are several."""
        workflows = {entry.workflow for entry in self.entries}
        triggers = {entry.trigger for entry in self.entries}
        seen: dict[str, int] = {}
        names = []
        for entry in self.entries:
            name = f"{entry.workflow} / {entry.title}" if len(workflows) > 1 and entry.workflow else entry.title
            name = named(name, entry.trigger) if len(triggers) > 1 else name
            seen[name] = seen.get(name, 0) + 1
            name = f"{name} ({seen[name]})" if seen[name] > 1 else name
            attempt = f", attempt {entry.attempt}" if 1 < entry.attempt < _FIRST_JOB_ID else ""
            shown = code(one_line(name, 120)) or "`job`"
            names.append((f"[{shown}]({escape(entry.url)})" if entry.url else shown) + attempt)
        return names

    def _sections(self, room: int, note: str) -> Iterator[str]:
        """
        What each job says, where there is room: a job that is not green first has what it needs, or a fair share.

        A section that does not fit is cut, and left out where next to nothing of it would be left.
        """
        whole = [_section(name, entry) for name, entry in zip(self._names(), self.entries, strict=True)]
        bad = [number for number, entry in enumerate(self.entries) if not entry.is_good]
        good = [number for number, entry in enumerate(self.entries) if entry.is_good]
        given = [0] * len(whole)
        for numbers in (bad, good):
            shares = fair_shares([_size(whole[number]) + 1 for number in numbers], room - sum(given))
            for number, share in zip(numbers, shares, strict=True):
                given[number] = share
        for section, share in zip(whole, given, strict=True):
            if share > min(_size(section), LEAST_SECTION_BYTES):
                yield fit(section, share - 1, note)

    # --- as what is stored ----------------------------------------------------------------------------------------

    def body(self, key: str, budget_bytes: int, note: str, *, server_url: str = "", repository: str = "") -> str:
        """
        The board as a comment of at most `budget_bytes`, out of which `board_in` reads it again.

        What the jobs say stands in it twice: for people, and compressed for the job that writes next.
        """
        for most in (budget_bytes, *(budget_bytes >> shift for shift in range(1, 12)), 0):
            entries = tuple(
                entry if _size(entry.text) <= most else replace(entry, text=fit(entry.text, most, note))
                for entry in self.entries
            )
            mark = f"<!-- distributed-testing key={key} board={packed(entries)} -->\n"
            if _size(mark) <= budget_bytes // 2:
                break
        shown = replace(self, entries=entries)
        return mark + shown.markdown(budget_bytes - _size(mark), note, server_url=server_url, repository=repository)


def board_in(body: str, key: str) -> Board | None:
    """The board in a comment's text; None where that is not ours, empty where nothing in it can be read."""
    found = _MARK.match(body)
    if found is None:
        old = _OLD_MARK.match(body)
        return Board() if old is not None and old["key"] == key else None
    return Board.from_entries(unpacked(found["data"])) if found["key"] == key else None


def entry_of(run: Run, job: Job, *, title: str, commit: str, url: str, text: str) -> Entry:
    """What a job says of its run. A commit is never called green where other code was tested than it holds."""
    standing = standing_of(run)
    conclusion = standing.conclusion
    if run.untested_commit and conclusion in ("passed", "skipped"):
        conclusion = "no-tests"
        words = f"not tested: what was checked out does not hold commit `{run.untested_commit[:7]}`"
        text = f"## {SIGNS[conclusion]} {words}\n\n{_HEADING.sub('', text, count=1)}"
    return Entry(
        key=job.key,
        writer=job.writer,
        title=title,
        workflow=job.workflow,
        run=job.run,
        attempt=job.attempt,
        commit=commit,
        conclusion=conclusion,
        passed=standing.passed,
        failed=run.totals().failing,
        skipped=standing.skipped,
        flaky=run.totals().flaky,
        duration_s=round(run.makespan_s, 3),
        url=url if url.startswith(("https://", "http://")) else "",
        text=text,
    )


def packed(entries: Sequence[Entry]) -> str:
    """Entries in characters that can stand in a hidden mark."""
    data = json.dumps(to_jsonable(entries), separators=(",", ":")).encode("ascii")
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpacked(data: str) -> tuple[Entry, ...]:
    """The entries in what `packed` gave; none where it is damaged."""
    try:
        inflated = zlib.decompressobj().decompress(base64.b64decode(data), _MOST_DATA_BYTES)
        return tuple(from_jsonable(Entry, item, source="a comment") for item in json.loads(inflated))
    except (ValueError, TypeError, zlib.error, RecursionError, UnreadableError):
        return ()


def fair_shares(needs: Sequence[int], room: int) -> list[int]:
    """What each gets of `room`: all that it needs where that is no more than a fair share, else such a share."""
    shares = [0] * len(needs)
    for place, number in enumerate(sorted(range(len(needs)), key=needs.__getitem__)):
        shares[number] = min(needs[number], max(room, 0) // (len(needs) - place))
        room -= shares[number]
    return shares


def _section(name: str, entry: Entry) -> str:
    """What a job says, under its name; folded where it is green. Its own heading says the same and goes."""
    body = _HEADING.sub("", entry.text, count=1).strip()
    if not body:
        return ""
    head = f"### {SIGNS[entry.conclusion]} {name}: {entry.counts()}\n\n"
    return (
        f"{head}<details><summary>What it says</summary>\n\n{body}\n\n</details>\n"
        if entry.is_good
        else f"{head}{body}\n"
    )


def _rank(entry: Entry) -> tuple[object, ...]:
    return (CONCLUSIONS.index(entry.conclusion), entry.workflow, entry.title, entry.key, entry.order, repr(entry))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
