"""What pages show of a run and find it by: its branch, its build, its conclusion; why a worker is put aside."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from dt_action.coordinator.conclusions import conclusion_of

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    op.add_column("runs", sa.Column("branch", sa.String(length=255), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("build_url", sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("conclusion", sa.String(length=16), nullable=False, server_default=""))
    op.add_column("workers", sa.Column("reason", sa.Text(), nullable=False, server_default=""))
    op.create_index("runs_by_age", "runs", ["created_at", "id"], unique=False)
    op.create_index(
        "results_flaky",
        "results",
        ["started_at"],
        unique=False,
        sqlite_where=sa.text("is_flaky"),
        postgresql_where=sa.text("is_flaky"),
    )
    _conclude()


def _conclude() -> None:
    """Work out the conclusions of the runs that have ended."""
    runs = sa.table("runs", sa.column("id"), sa.column("status"), sa.column("totals"), sa.column("conclusion"))
    connection = op.get_bind()
    for row in connection.execute(sa.select(runs.c.id, runs.c.status, runs.c.totals)).all():
        try:
            totals = json.loads(row.totals)
        except ValueError:
            continue
        connection.execute(
            runs.update().where(runs.c.id == row.id).values(conclusion=conclusion_of(row.status, totals))
        )
