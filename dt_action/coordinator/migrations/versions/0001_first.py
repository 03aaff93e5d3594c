"""The first tables."""

from __future__ import annotations

from alembic import op

from dt_action.coordinator.store import METADATA

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    METADATA.create_all(op.get_bind())
