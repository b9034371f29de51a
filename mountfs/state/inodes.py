"""Which node an inode of this mount leads to.

An inode's number is its node's, until a save makes the program's inode live on with another node;
only such inodes have a row. No two living nodes share an inode.
"""

from collections import Counter

from mountfs.state.database import Database


class InodeAliases:
    """One thread: the event loop's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._node_by_inode: dict[int, int] = {}
        self._inode_by_node: dict[int, int] = {}
        # What a run before this one still knew, of nodes that are gone.
        database.execute(
            "DELETE FROM inode_alias WHERE NOT EXISTS "
            "(SELECT 1 FROM node WHERE node.node_id = inode_alias.node_id) AND NOT EXISTS "
            "(SELECT 1 FROM next_node WHERE next_node.node_id = inode_alias.node_id) AND "
            "NOT EXISTS "
            "(SELECT 1 FROM local_node WHERE local_node.node_id = inode_alias.node_id)"
        )
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
        """Make `inode` the inode of `node_id`. Whoever had it must be gone for good."""
        self._drop_node(self._node_by_inode.get(inode, 0))
        self._drop_node(node_id)
        self._put(inode, node_id)

    def exchange(self, node_id: int, other_node_id: int) -> None:
        """Each of two living nodes gets the other's inode."""
        inode, other_inode = self.inode_of(node_id), self.inode_of(other_node_id)
        self._drop_node(node_id)
        self._drop_node(other_node_id)
        self._put(other_inode, node_id)
        self._put(inode, other_node_id)

    def forget_node(self, node_id: int) -> None:
        """The node is gone for good, and nobody asks for its inode."""
        self._drop_node(node_id)

    def _put(self, inode: int, node_id: int) -> None:
        if inode == node_id:
            return
        self._node_by_inode[inode] = node_id
        self._inode_by_node[node_id] = inode
        self._database.execute("INSERT INTO inode_alias VALUES (?,?)", (inode, node_id))

    def _drop_node(self, node_id: int) -> None:
        inode = self._inode_by_node.pop(node_id, None)
        if inode is not None:
            del self._node_by_inode[inode]
            self._database.execute("DELETE FROM inode_alias WHERE inode = ?", (inode,))


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
