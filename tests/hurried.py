"""A server's database that waits for no platter: for tests in which no power fails."""

from sqlalchemy import Connection

from backend_server.metadata.connections import Connections
from backend_server.metadata.executors import InlineExecutor


def hurried(connections: Connections) -> InlineExecutor:
    """Return an executor whose commits are not synced, which would be most of a test's time."""
    open_writer = connections.open_writer

    def open_hurried() -> Connection:
        connection = open_writer()
        driver = connection.connection.dbapi_connection
        assert driver is not None
        driver.cursor().execute("PRAGMA synchronous=OFF")
        return connection

    connections.open_writer = open_hurried  # type: ignore[method-assign]
    return InlineExecutor(connections)
