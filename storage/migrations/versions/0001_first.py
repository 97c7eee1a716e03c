"""The first schema: people, sessions, turns, states.

Turns name their person beside their session, and the key holds the pair, so that no defect of ours can file a
turn under somebody else. Ids are never reused (AUTOINCREMENT on SQLite), because a state says through which
turn it has read.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("last_revision", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id"),
        sa.UniqueConstraint("user_id", "name", name="uq_sessions_user_id_name"),
        sa.UniqueConstraint("id", "user_id", name="uq_sessions_id_user_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "turns",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("session_id", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("user_text", sa.Text, nullable=False),
        sa.Column("reply_text", sa.Text, nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
        sa.ForeignKeyConstraint(
            ["session_id", "user_id"], ["sessions.id", "sessions.user_id"], name="fk_turns_session_id_user_id"
        ),
        sa.UniqueConstraint("session_id", "position", name="uq_turns_session_id_position"),
        sa.CheckConstraint("status IN ('complete', 'stopped')", name="ck_turns_status"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_turns_user_id_id", "turns", ["user_id", "id"])
    op.create_table(
        "states",
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("checksum", sa.Text, nullable=False),
        sa.Column("generator", sa.Text, nullable=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("through_turn_id", sa.Integer, nullable=False),
        sa.Column("num_turns", sa.Integer, nullable=False),
        sa.Column("num_tokens", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_states"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_states_user_id"),
    )
