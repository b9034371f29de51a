"""The change counter: which of two local changes came later."""

from mountfs.state.database import Database


class ChangeCounter:
    """Numbers that only grow, also over restarts: it starts behind every number in the rows."""

    def __init__(self, database: Database) -> None:
        (self._last,) = database.execute(
            "SELECT max(coalesce((SELECT max(touched) FROM overlay_log), 0), "
            "coalesce((SELECT max(synced_through) FROM generation), 0), "
            "coalesce((SELECT max(touched) FROM local_node), 0), "
            "coalesce((SELECT max(touched) FROM local_dentry), 0))"
        ).fetchone()

    @property
    def last(self) -> int:
        return int(self._last)

    def next(self) -> int:
        self._last += 1
        return int(self._last)
