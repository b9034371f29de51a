"""The commit batch on its way, and the numbers of operations.

A batch is stored before it is sent and forgotten in the transaction that applies what came of it.
After a crash it is sent again under the same numbers, so the server answers it once.
"""

import msgspec

from backend_server.protocol.commit_messages import Operation
from mountfs.errors import StateDamaged
from mountfs.state.database import Database


class SentOperation(msgspec.Struct, frozen=True, array_like=True):
    """An operation as sent, and the local rows it came from.

    `operation` is kept without inline blocks. `touched` maps nothing more than what settling
    needs: the change counter of the node's row and of each dentry's row when it was planned.
    `generation_ids` are the layers whose content it carries, lowest first.
    """

    operation: Operation
    node_touched: int = 0
    dentries_touched: list[int] = []
    generation_ids: list[int] = []


class Batches:
    """One thread: the event loop's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.in_flight: list[SentOperation] = []
        self.last_number = 0
        """The highest number ever given to an operation."""
        self.load()

    def load(self) -> None:
        """Take the rows as they are; what memory had is forgotten."""
        execute = self._database.execute
        rows = execute("SELECT detail FROM batch ORDER BY number").fetchall()
        try:
            self.in_flight = [
                msgspec.msgpack.decode(detail, type=SentOperation) for (detail,) in rows
            ]
        except msgspec.DecodeError as error:
            raise StateDamaged(f"the batch on its way cannot be read: {error}") from error
        row = execute("SELECT value FROM meta WHERE key = 'last_number'").fetchone()
        self.last_number = int(row[0]) if row else 0

    def begin(self, operations: list[SentOperation]) -> None:
        """Store a batch whose numbers follow `last_number`. Joins the caller's transaction."""
        assert not self.in_flight
        self._database.execute_many(
            "INSERT INTO batch (number, detail) VALUES (?,?)",
            [(sent.operation.number, msgspec.msgpack.encode(sent)) for sent in operations],
        )
        self.in_flight = operations
        self._store_last_number(operations[-1].operation.number)

    def forget(self) -> None:
        """The batch is settled. Joins the caller's transaction."""
        self._database.execute("DELETE FROM batch")
        self.in_flight = []

    def number_from(self, number: int) -> None:
        """The server has answered this device up to `number`: the next operation is behind it.

        Not while a batch is in flight. Joins the caller's transaction.
        """
        if not self.in_flight and number != self.last_number:
            self._store_last_number(number)

    def _store_last_number(self, number: int) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO meta (key, value) VALUES ('last_number', ?)", (str(number),)
        )
        self.last_number = number
