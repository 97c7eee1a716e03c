"""Leases: who reads a person's turns into memory at the moment.

They go with their person, and hold nothing that anybody said.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_leases"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_leases_user_id", ondelete="CASCADE"),
    )
