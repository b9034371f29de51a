"""Files that both sides edited, until it is decided whether the edits can be merged."""

from mountfs.state.database import Database
from mountfs.state.overlay import Source


class Disputes:
    """By node: the content that the edit here began from. One thread: the event loop's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.bases: dict[int, Source] = {}
        self.load()

    def load(self) -> None:
        """Take the rows as they are; what memory had is forgotten."""
        rows = self._database.execute(
            "SELECT node_id, base_revision, base_manifest_id, base_entries, base_size_bytes "
            "FROM dispute"
        ).fetchall()
        self.bases = {row[0]: Source(*row) for row in rows}

    def __contains__(self, node_id: int) -> bool:
        return node_id in self.bases

    def begin(self, base: Source) -> None:
        """The file of `base` has an edit here and another head there. Joins the transaction."""
        self._database.execute(
            "INSERT INTO dispute (node_id, base_revision, base_manifest_id, base_entries, "
            "base_size_bytes) VALUES (?,?,?,?,?)",
            tuple(base),
        )
        self.bases[base.node_id] = base

    def end(self, node_id: int) -> None:
        """It is decided. Joins the caller's transaction."""
        if self.bases.pop(node_id, None) is not None:
            self._database.execute("DELETE FROM dispute WHERE node_id = ?", (node_id,))

    def base_revision(self, node_id: int, head: int) -> int:
        """Return the revision of the file that programs have seen here: `head` if undisputed."""
        base = self.bases.get(node_id)
        return head if base is None else base.revision
