"""The tree: nodes and dentries as they are now."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from backend_server.metadata.tables.catalogue import DriveIdText, catalogue

# Nodes
#
# One row per node that the drive ever had, as of `sequence`, the last change of any of its
# columns. A removed node (kind 0) stays as a tombstone: devices that were away learn of it, and
# its id is never given again. Content and attributes have versions of their own, so that a chmod
# does not fight a write. `entries` holds the packed manifest when it is small.
# `conflict_of` names the node that this one is a conflict copy of, which the device of that name
# made then; 0: it is none, or a person has settled it.
nodes = Table(
    "nodes",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("node_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("kind", Integer, nullable=False),  # NodeKind; 0 is a tombstone
    Column("mode", Integer, nullable=False),  # 07777 at most
    Column("uid", BigInteger, nullable=False),
    Column("gid", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("ctime_ns", BigInteger, nullable=False),
    Column("attributes_version", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),  # 0: never had content
    Column("manifest_id", LargeBinary, nullable=False),  # empty: no bytes
    Column("entries", LargeBinary, nullable=False),
    Column("target", LargeBinary, nullable=False),  # of a symlink
    Column("rdev", BigInteger, nullable=False),
    Column("charged_bytes", BigInteger, nullable=False),  # against the quota; 0 in a tombstone
    Column("created_at_ms", BigInteger, nullable=False),
    Column("xattrs", LargeBinary, nullable=False),  # packed; empty: none
    Column("conflict_of", BigInteger, nullable=False, server_default="0"),
    Column("conflict_device", Text, nullable=False, server_default=""),
    Column("conflict_at_ns", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)
Index("ix_nodes_sequence", nodes.c.drive_id, nodes.c.sequence)

# Dentries
#
# (parent, name) leads to `node_id`; NULL is "to nothing any more", a tombstone for devices that
# were away, kept until the journal is compacted. Several live dentries of one node are hard links;
# a folder has exactly one, the root none. Every live dentry's parent is a live folder, every live
# node but the root has a dentry, and no folder is inside itself: `domain` decides so, and no row
# is written without it.
dentries = Table(
    "dentries",
    catalogue,
    Column("drive_id", DriveIdText, primary_key=True),
    Column("parent", BigInteger, primary_key=True, autoincrement=False),
    Column("name", LargeBinary, primary_key=True),
    Column("node_id", BigInteger),
    Column("sequence", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_dentries_sequence", dentries.c.drive_id, dentries.c.sequence)
Index(
    "ix_dentries_node",
    dentries.c.drive_id,
    dentries.c.node_id,
    sqlite_where=dentries.c.node_id.is_not(None),
    postgresql_where=dentries.c.node_id.is_not(None),
)
