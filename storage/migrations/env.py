"""Alembic's entry: runs the migrations in the transaction that `storage.database` has begun."""

from alembic import context

from storage.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    # SQLite cannot alter a table in place: later migrations copy it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
