"""Changes that the server refused: kept here, shown to the person, not tried until unparked."""

from mountfs.state.database import Database


class Parking:
    """Nodes whose changes wait for a person. One thread: the event loop's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.codes: dict[int, str] = {}
        """Node to the error code it was refused with."""
        self.load()

    def load(self) -> None:
        """Take the rows as they are; what memory had is forgotten."""
        self.codes = dict(self._database.execute("SELECT node_id, code FROM parked").fetchall())

    def park(self, node_id: int, code: str, *, now_ns: int) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO parked (node_id, code, at_ns) VALUES (?,?,?)",
            (node_id, code, now_ns),
        )
        self.codes[node_id] = code

    def unpark(self, node_id: int) -> None:
        if self.codes.pop(node_id, None) is not None:
            self._database.execute("DELETE FROM parked WHERE node_id = ?", (node_id,))

    def unpark_all(self) -> None:
        self._database.execute("DELETE FROM parked")
        self.codes.clear()
