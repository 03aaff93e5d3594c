"""Whose a bundle is, sessions of browsers, storage of keys, and the request that an audited act came with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """To this version. Bundles of before belong to nobody: their clients send them again."""
    op.create_table(
        "bundles",
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("bytes", _SEQ, nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "digest"),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_index(op.f("ix_sessions_key"), "sessions", ["key"], unique=False)
    op.add_column("keys", sa.Column("max_storage_bytes", _SEQ, nullable=False, server_default="0"))
    op.add_column("parcels", sa.Column("bytes", _SEQ, nullable=False, server_default="0"))
    op.add_column("audit", sa.Column("request", sa.String(length=16), nullable=False, server_default=""))
