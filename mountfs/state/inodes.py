"""Which node an inode of this mount leads to.

An inode's number is its node's, until a save makes the program's inode live on with another node;
only such inodes have a row.
"""

from collections import Counter

from mountfs.state.database import Database


class InodeAliases:
    """One thread: the event loop's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._node_by_inode: dict[int, int] = {}
        self._inode_by_node: dict[int, int] = {}
        self.load()

    def load(self) -> None:
        """Take the rows as they are; what memory had is forgotten."""
        rows = self._database.execute("SELECT inode, node_id FROM inode_alias").fetchall()
        self._node_by_inode = dict(rows)
        self._inode_by_node = {node_id: inode for inode, node_id in rows}

    def node_of(self, inode: int) -> int:
        return self._node_by_inode.get(inode, inode)

    def inode_of(self, node_id: int) -> int:
        return self._inode_by_node.get(node_id, node_id)

    def point(self, inode: int, node_id: int) -> None:
        """Make `inode` the inode of `node_id`."""
        old = self._inode_by_node.pop(node_id, None)
        if old is not None:
            self._node_by_inode.pop(old, None)
            self._database.execute("DELETE FROM inode_alias WHERE inode = ?", (old,))
        previous = self._node_by_inode.pop(inode, None)
        if previous is not None:
            self._inode_by_node.pop(previous, None)
            self._database.execute("DELETE FROM inode_alias WHERE inode = ?", (inode,))
        if inode != node_id:
            self._node_by_inode[inode] = node_id
            self._inode_by_node[node_id] = inode
            self._database.execute("INSERT INTO inode_alias VALUES (?,?)", (inode, node_id))

    def forget_node(self, node_id: int) -> None:
        """The node is gone for good."""
        self.point(node_id, node_id)


class Writers:
    """Which inodes are open for writing: whoever sends content waits for the last close."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def opened(self, inode: int) -> None:
        self._counts[inode] += 1

    def closed(self, inode: int) -> None:
        self._counts[inode] -= 1
        if not self._counts[inode]:
            del self._counts[inode]

    def __contains__(self, inode: int) -> bool:
        return inode in self._counts
