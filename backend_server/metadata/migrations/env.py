"""Run by Alembic: applies revisions on the connection that `upgrade_to_head` passes."""

from alembic import context

from backend_server.metadata.tables import catalogue

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=catalogue,
    render_as_batch=True,
)
context.run_migrations()
