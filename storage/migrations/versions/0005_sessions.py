"""Sessions: whether one is pinned, and which document one was read from.

No session that exists is either. Nothing is made anew: turns refer to the table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("is_pinned", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("sessions", sa.Column("source", sa.Text, nullable=True))
