"""When the stores were brought back to an earlier point."""

from __future__ import annotations

from typing import Final

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint

revision: Final = "0002"
down_revision: Final = "0001"
PHASE: Final = "expand"


def upgrade(op: Operations) -> None:
    """Make the table."""
    op.create_table(
        "restores",
        Column("at_ms", BigInteger, nullable=False, autoincrement=False),
        PrimaryKeyConstraint("at_ms", name="pk_restores"),
    )
