"""The tables of the coordinator, and how a change is written: everything of one answer in one transaction."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

METADATA = sa.MetaData()

_ID = sa.String(64)
_NAME = sa.String(255)
_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")

KEYS = sa.Table(
    "keys",
    METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("repositories", sa.Text, nullable=False),
    sa.Column("max_slots", sa.Integer, nullable=False),
    sa.Column("max_runs", sa.Integer, nullable=False),
    sa.Column("max_priority", sa.Integer, nullable=False),
    sa.Column("max_storage_bytes", _SEQ, nullable=False, server_default="0"),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float),
    sa.Column("revoked_at", sa.Float),
    sa.Column("last_used_at", sa.Float),
)

SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("key", _ID, nullable=False, index=True),
    sa.Column("expires_at", sa.Float, nullable=False),
)

ENROLMENTS = sa.Table(
    "enrolments",
    METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("uses_left", sa.Integer),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float),
    sa.Column("revoked_at", sa.Float),
)

WORKERS = sa.Table(
    "workers",
    METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("enrolment", _ID, nullable=False),
    sa.Column("renewal_hash", sa.String(64), nullable=False),
    sa.Column("boot", _ID, nullable=False),
    sa.Column("slots", sa.Integer, nullable=False),
    sa.Column("capability", sa.Text, nullable=False),
    sa.Column("version", _NAME, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("enrolled_at", sa.Float, nullable=False),
    sa.Column("seen_at", sa.Float, nullable=False),
)

RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("nonce", _ID, nullable=False),
    sa.Column("owner", _NAME, nullable=False),
    sa.Column("repository", _NAME, nullable=False),
    sa.Column("commit", _NAME, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("max_slots", sa.Integer, nullable=False),
    sa.Column("bundle", sa.String(64), nullable=False),
    sa.Column("submission", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("ended_at", sa.Float),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("totals", sa.Text, nullable=False),
    sa.Column("bytes", _SEQ),
    sa.Column("branch", _NAME, nullable=False, server_default=""),
    sa.Column("build_url", sa.Text, nullable=False, server_default=""),
    sa.Column("conclusion", sa.String(16), nullable=False, server_default=""),
    sa.UniqueConstraint("owner", "nonce"),
    sa.Index("runs_by_age", "created_at", "id"),
)

INPUTS = sa.Table(
    "inputs",
    METADATA,
    sa.Column("run", _ID, primary_key=True),
    sa.Column("seq", _SEQ, primary_key=True),
    sa.Column("payload", sa.Text, nullable=False),
)

EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("run", _ID, primary_key=True),
    sa.Column("seq", _SEQ, primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
)

LEASES = sa.Table(
    "leases",
    METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("run", _ID, nullable=False, index=True),
    sa.Column("worker", _ID, nullable=False, index=True),
    sa.Column("boot", _ID, nullable=False),
    sa.Column("slot", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("heard", _SEQ, nullable=False),
    sa.Column("opened_at", sa.Float, nullable=False),
    sa.Column("closed_at", sa.Float),
)

RESULTS = sa.Table(
    "results",
    METADATA,
    sa.Column("run", _ID, primary_key=True),
    sa.Column("event", _SEQ, primary_key=True),
    sa.Column("repository", _NAME, nullable=False),
    sa.Column("case", sa.Text, nullable=False),
    sa.Column("case_key", sa.String(32), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("is_flaky", sa.Boolean, nullable=False),
    sa.Column("duration_s", sa.Float, nullable=False),
    sa.Column("worker", _NAME, nullable=False),
    sa.Column("slot", sa.String(32), nullable=False),
    sa.Column("started_at", sa.Float, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Index("results_of_case", "case_key", "started_at"),
    sa.Index(
        "results_flaky",
        "started_at",
        sqlite_where=sa.text("is_flaky"),
        postgresql_where=sa.text("is_flaky"),
    ),
)

BUNDLES = sa.Table(
    "bundles",
    METADATA,
    sa.Column("owner", _NAME, primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("bytes", _SEQ, nullable=False),
    sa.Column("used_at", sa.Float, nullable=False),
)

UPLOADS = sa.Table(
    "parcels",
    METADATA,
    sa.Column("lease", _ID, primary_key=True),
    sa.Column("run", _ID, nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("root", sa.Text, nullable=False),
    sa.Column("worker", _NAME, nullable=False),
    sa.Column("slot", sa.String(32), nullable=False),
    sa.Column("bytes", _SEQ, nullable=False, server_default="0"),
)

HISTORY = sa.Table(
    "history",
    METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("repository", _NAME, nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
)

NOTES = sa.Table(
    "notes",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)
"""What the coordinator is to know over its restarts, one value for a name: see `upkeep`."""

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("id", _SEQ, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("who", _NAME, nullable=False),
    sa.Column("what", _NAME, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("request", sa.String(16), nullable=False, server_default=""),
)


_POSTGRESQL: Mapping[str, str | int] = {
    # Without it, a database that was made as SQL_ASCII (no LANG was set) gives bytes in the place of text.
    "client_encoding": "UTF8",
    # Nobody waits for ever: not for a server that is gone without a word, nor for whoever has locked a table.
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "options": "-c lock_timeout=30s",
}
"""How a connection to PostgreSQL is made, in libpq's words; the database's address may say otherwise."""


def open_engine(url: str) -> sa.Engine:
    """
    The database behind `url`. SQLite runs in WAL mode, so that readers never wait for the writer.

    `synchronous=FULL` makes a commit outlive a power cut, too; commits are grouped, so it costs little.
    """
    if not url.startswith("sqlite"):
        given = sa.make_url(url).query
        arguments = {name: value for name, value in _POSTGRESQL.items() if name not in given}
        return sa.create_engine(url, pool_pre_ping=True, pool_size=8, connect_args=arguments)
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=8,
        connect_args={"timeout": 30, "check_same_thread": False},
        paramstyle="named",  # as with the other database, a row is a dict
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-16000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def storable(text: str, most: int = 0) -> str:
    """`text` as every database takes it: no NUL, no half of a surrogate pair; cut to `most` characters unless 0."""
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
    return clean[:most] if most else clean


def case_key(case: str) -> str:
    """A case in an index: ids may be longer than PostgreSQL takes there."""
    return hashlib.sha256(case.encode("utf-8", "backslashreplace")).hexdigest()[:32]


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


def as_text(value: Any) -> str:
    """JSON in ASCII: what no database, however it is set up, can get wrong."""
    return _ENCODER.encode(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something for the log: what happened, with which request, and to what."""

    what: str
    request: str
    about: Mapping[str, Any]


Statement: TypeAlias = sa.sql.dml.Update | sa.sql.dml.Delete | sa.sql.dml.Insert


@dataclass(slots=True)
class Changes:
    """
    What one or more answers change: gathered first, written at once. `request` is the id of the one that asks now.

    `noted` is what of it an operator should read in the log, once it is written: what happened, and to what.
    """

    rows: dict[str, tuple[sa.Table, list[dict[str, Any]]]] = field(default_factory=dict)
    statements: list[tuple[Statement, Mapping[str, Any]]] = field(default_factory=list)
    updates: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    request: str = ""
    noted: list[Note] = field(default_factory=list)

    def add(self, table: sa.Table, **row: Any) -> None:
        """A new row."""
        self.rows.setdefault(table.name, (table, []))[1].append(row)
        if table is LEASES:
            self.note("lease opened", lease=row["id"], run=row["run"], worker=row["worker"], slot=row["slot"])

    def new(self, table: sa.Table) -> Sequence[Mapping[str, Any]]:
        """The new rows of a table, so far."""
        return self.rows[table.name][1] if table.name in self.rows else ()

    def update(self, table: sa.Table, id: str, **values: Any) -> None:
        """New values for the row with this id; several changes of one row become one."""
        self.updates.setdefault((table.name, id), {}).update(values)
        if "state" in values and table is LEASES:
            self.note(f"lease {values['state']}", lease=id)
        elif "status" in values and table is RUNS:
            self.note("run ended", run=id, status=values["status"], reason=values.get("reason", ""))

    def execute(self, statement: Statement, **parameters: Any) -> None:
        """Any other change; these come after the new rows, in their order."""
        self.statements.append((statement, parameters))

    def insert(self, table: sa.Table, **row: Any) -> None:
        """A new row in the order of `execute`."""
        self.execute(table.insert().values(**row))

    def note(self, what: str, **about: Any) -> None:
        """Say in the log what happened."""
        self.noted.append(Note(what=what, request=self.request, about=about))

    def audit(self, who: str, what: str, detail: str = "") -> None:
        """Remember who did what, and say so in the log."""
        who, detail = storable(who, 255), storable(detail, 2000)
        self.add(AUDIT, at=time.time(), who=who, what=what, detail=detail, request=self.request)
        self.note(what, who=who, detail=detail)

    def write(self, connection: sa.Connection) -> None:
        """Write everything."""
        for table, rows in self.rows.values():
            _insert(connection, table, rows)
        alike: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}
        for (name, id), values in self.updates.items():
            alike.setdefault((name, tuple(values)), []).append({**values, "changed": id})
        for (name, columns), changed in alike.items():
            connection.exec_driver_sql(_alteration(METADATA.tables[name], columns, connection.dialect), changed)
        for statement, parameters in self.statements:
            connection.execute(statement, parameters)


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """
    Add rows with the same columns, without SQLAlchemy's own work on each of them: no value here needs converting.

    Python's sqlite3 lets other threads run at each step of a statement, and may wait for milliseconds until it is on
    again while they are busy. So many rows are one statement, and its work goes on beside theirs.
    """
    columns = tuple(rows[0])
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(_insertion(table, columns, connection.dialect, 0), rows)
        return
    begin = 0
    for count in _AT_ONCE:
        while len(rows) - begin >= count:
            values = tuple(itertools.chain.from_iterable(row.values() for row in rows[begin : begin + count]))
            connection.exec_driver_sql(_insertion(table, columns, connection.dialect, count), values)
            begin += count


_AT_ONCE = (64, 8, 1)


@lru_cache(maxsize=128)
def _insertion(table: sa.Table, columns: tuple[str, ...], dialect: sa.Dialect, count: int) -> str:
    """The statement that adds `count` rows with values by position, or (0) one with values by name."""
    if not count:
        return str(table.insert().inline().compile(dialect=dialect, column_keys=list(columns)))
    names = ", ".join(map(dialect.identifier_preparer.quote, columns))
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table.name} ({names}) VALUES {', '.join([row] * count)}"  # noqa: S608 - our own names  # nosec B608


@lru_cache(maxsize=64)
def _alteration(table: sa.Table, columns: tuple[str, ...], dialect: sa.Dialect) -> str:
    """The statement that sets these columns of the row whose id is `changed`."""
    one = table.update().where(table.c.id == sa.bindparam("changed"))
    return str(one.compile(dialect=dialect, column_keys=list(columns)))


def rows_of(engine: sa.Engine, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
    """The rows that a query gives."""
    with engine.connect() as connection:
        return connection.execute(statement).all()
