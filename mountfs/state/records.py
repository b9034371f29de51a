"""Rows as values."""

from typing import NamedTuple

from backend_server.protocol.tree_messages import NodeKind, NodeState
from mountfs.core.conflict_mark import ConflictMark


class NodeRecord(NamedTuple):
    """A node as the mirror has it, or as programs see it. Fields as `NodeState`."""

    node_id: int
    kind: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    attributes_version: int
    size_bytes: int
    revision: int
    manifest_id: bytes
    entries: bytes
    target: bytes
    rdev: int
    xattrs: bytes = b""
    conflict_of: int = 0
    conflict_device: str = ""
    conflict_at_ns: int = 0

    @property
    def mark(self) -> ConflictMark:
        return ConflictMark(self.conflict_of, self.conflict_device, self.conflict_at_ns)

    def marked(self, mark: ConflictMark) -> "NodeRecord":
        """Return the record with another mark. Pure."""
        return self._replace(
            conflict_of=mark.original, conflict_device=mark.device, conflict_at_ns=mark.at_ns
        )

    @property
    def is_folder(self) -> bool:
        return self.kind == NodeKind.FOLDER

    @property
    def is_file(self) -> bool:
        return self.kind == NodeKind.FILE


class LocalNode(NamedTuple):
    """A node made or whose attributes were set here; see schema.sql."""

    node_id: int
    kind: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    attributes_version: int
    target: bytes
    rdev: int
    is_created: bool
    touched: int
    xattrs: bytes = b""
    conflict_of: int = 0
    conflict_device: str = ""
    conflict_at_ns: int = 0

    @property
    def mark(self) -> ConflictMark:
        return ConflictMark(self.conflict_of, self.conflict_device, self.conflict_at_ns)


class LocalDentry(NamedTuple):
    """A dentry changed here; see schema.sql. `at_s`: monotonic, 0 after a restart. `is_folder`:
    of the node, which others may have removed since."""

    parent: int
    name: bytes
    node_id: int
    expected: int
    touched: int
    at_ns: int = 0
    at_s: float = 0.0
    is_folder: bool = False

    @property
    def key(self) -> tuple[int, bytes]:
        return (self.parent, self.name)


def record_of(state: NodeState) -> NodeRecord:
    """Return the mirror's row for what the server says. Pure."""
    return NodeRecord(
        state.node_id,
        int(state.kind),
        state.mode,
        state.uid,
        state.gid,
        state.mtime_ns,
        state.ctime_ns,
        state.attributes_version,
        len(state.target) if state.kind is NodeKind.SYMLINK else state.size_bytes,
        state.revision,
        state.manifest_id,
        state.entries,
        state.target,
        state.rdev,
        state.xattrs,
        state.conflict_of,
        state.conflict_device,
        state.conflict_at_ns,
    )
