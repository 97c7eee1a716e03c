"""The ledger: whether memory was on, failed turns, copies in branches, and drafts of a rebuilt memory.

A person's `ledger` counts the changes to what was already said. A state names the count it was made at, so
that one that has read what is no longer there is known by a number instead of by comparing turns. Every turn
and session that exists has been in memory so far. Saved states go: their checksums do not cover the count,
and they are read anew from the turns.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    yes, zero = sa.true(), sa.text("0")
    op.add_column("users", sa.Column("ledger", sa.Integer, nullable=False, server_default=zero))
    op.add_column("users", sa.Column("memory_on", sa.Boolean, nullable=False, server_default=yes))
    op.add_column("sessions", sa.Column("memory_on", sa.Boolean, nullable=False, server_default=yes))
    op.execute("DELETE FROM states")
    op.add_column("states", sa.Column("ledger", sa.Integer, nullable=False, server_default=zero))

    # SQLite makes a table anew to change a constraint, and would forget which ids were given to turns that
    # are gone
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    given = (
        op.get_bind().execute(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'turns'")).scalar()
        if is_sqlite
        else None
    )
    with op.batch_alter_table("turns", table_kwargs={"sqlite_autoincrement": True}) as turns:
        turns.add_column(sa.Column("in_memory", sa.Boolean, nullable=False, server_default=yes))
        turns.add_column(sa.Column("copy_of", sa.Integer, nullable=True))
        turns.drop_constraint("ck_turns_status", type_="check")
        turns.create_check_constraint("ck_turns_status", "status IN ('complete', 'stopped', 'failed')")
    if given is not None:
        op.execute(
            sa.text("UPDATE sqlite_sequence SET seq = :given WHERE name = 'turns'").bindparams(given=given)
        )
    op.create_index("ix_turns_copy_of", "turns", ["copy_of"])

    op.create_table(
        "drafts",
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("checksum", sa.Text, nullable=False),
        sa.Column("generator", sa.Text, nullable=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("ledger", sa.Integer, nullable=False, server_default=zero),
        sa.Column("through_turn_id", sa.Integer, nullable=False),
        sa.Column("num_turns", sa.Integer, nullable=False),
        sa.Column("num_tokens", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_drafts"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_drafts_user_id"),
    )
