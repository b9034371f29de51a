"""Rows of nodes and dentries: what a commit is about, loaded; what it changed, stored."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, text

from backend_server.domain.footprint import Footprint
from backend_server.domain.tree import Tree
from backend_server.domain.verdicts import NodeRecord
from backend_server.metadata.bulk import BulkInsert, in_lists, select_by_pairs
from backend_server.metadata.tables import dentries, nodes
from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import DentryState, NodeKind

_KINDS: Final = {kind.value: kind for kind in NodeKind}

_NODES: Final = select(*(column for column in nodes.columns if column.name != "drive_id")).where(
    nodes.c.drive_id == bindparam("drive_id"),
    nodes.c.node_id.in_(bindparam("node_ids", expanding=True)),
)
_DENTRIES: Final = """
    WITH wanted (parent, name) AS {wanted}
    SELECT d.parent, d.name, coalesce(d.node_id, 0), d.sequence
    FROM wanted AS w CROSS JOIN dentries AS d
    WHERE d.drive_id = {first} AND d.parent = w.parent AND d.name = w.name
"""
# "IS NOT NULL" is what lets SQLite use the partial index.
_LINKS: Final = select(dentries.c.node_id, dentries.c.parent, dentries.c.name).where(
    dentries.c.drive_id == bindparam("drive_id"),
    dentries.c.node_id.is_not(None),
    dentries.c.node_id.in_(bindparam("node_ids", expanding=True)),
)
_LINKS_ABOVE: Final = text("""
    WITH RECURSIVE above (node_id, parent, name) AS (
        SELECT node_id, parent, name FROM dentries
        WHERE drive_id = :drive_id AND node_id IS NOT NULL AND node_id IN :node_ids
        UNION
        SELECT d.node_id, d.parent, d.name FROM above AS a CROSS JOIN dentries AS d
        WHERE d.drive_id = :drive_id AND d.node_id IS NOT NULL AND d.node_id = a.parent
    )
    SELECT node_id, parent, name FROM above
""").bindparams(bindparam("node_ids", expanding=True))
_CHILD_COUNTS: Final = (
    select(dentries.c.parent, func.count())
    .where(
        dentries.c.drive_id == bindparam("drive_id"),
        dentries.c.parent.in_(bindparam("parents", expanding=True)),
        dentries.c.node_id.is_not(None),
    )
    .group_by(dentries.c.parent)
)
_STORE_NODES: Final = BulkInsert(nodes, on_conflict="replace")
_STORE_DENTRIES: Final = BulkInsert(dentries, on_conflict="replace")


def load_into_tree(
    connection: Connection, drive_id: DriveId, tree: Tree, footprint: Footprint
) -> None:
    """Load everything that operations with this footprint are decided on. A few queries."""
    _load_nodes(connection, drive_id, tree, footprint.node_ids)
    for parent, name, node_id, sequence in select_by_pairs(
        connection, _DENTRIES, drive_id, list(footprint.dentries)
    ):
        tree.dentries[parent, name] = DentryState(parent, name, node_id, sequence)
    if not footprint.linked:
        return
    _load_links(connection, drive_id, tree, footprint.linked & tree.nodes.keys())
    _load_child_counts(connection, drive_id, tree, footprint.linked)
    _load_ancestors(connection, drive_id, tree, _parents_of_placed_folders(tree, footprint))


def store_tree(connection: Connection, drive_id: DriveId, tree: Tree) -> None:
    """Write what changed in `tree`."""
    _STORE_NODES.execute(
        connection,
        [
            (
                drive_id,
                node.node_id,
                node.sequence,
                node.kind.value,
                node.mode,
                node.uid,
                node.gid,
                node.mtime_ns,
                node.ctime_ns,
                node.attributes_version,
                node.size_bytes,
                node.revision,
                node.manifest_id,
                node.entries,
                node.target,
                node.rdev,
                node.charged_bytes,
                node.created_at_ms,
                node.xattrs,
                node.conflict_of,
                node.conflict_device,
                node.conflict_at_ns,
            )
            for node in tree.changed_nodes()
        ],
    )
    _STORE_DENTRIES.execute(
        connection,
        [
            (drive_id, entry.parent, entry.name, entry.node_id or None, entry.sequence)
            for entry in tree.changed_dentries()
        ],
    )


def _load_nodes(
    connection: Connection, drive_id: DriveId, tree: Tree, node_ids: Iterable[int]
) -> None:
    for some in in_lists(list(node_ids)):
        rows = connection.execute(_NODES, {"drive_id": drive_id, "node_ids": some})
        for row in rows.all():
            tree.nodes[row[0]] = NodeRecord(row[0], row[1], _KINDS[row[2]], *row[3:])


def _load_links(
    connection: Connection, drive_id: DriveId, tree: Tree, node_ids: Iterable[int]
) -> None:
    links: dict[int, dict[tuple[int, bytes], None]] = {node_id: {} for node_id in node_ids}
    for some in in_lists(list(links)):
        rows = connection.execute(_LINKS, {"drive_id": drive_id, "node_ids": some})
        for node_id, parent, name in rows.all():
            links[node_id][parent, name] = None
    tree.links.update(links)


def _load_child_counts(
    connection: Connection, drive_id: DriveId, tree: Tree, node_ids: Iterable[int]
) -> None:
    folders = [node_id for node_id in node_ids if _is_folder(tree, node_id)]
    for folder_id in folders:
        tree.child_counts[folder_id] = 0
    for some in in_lists(folders):
        rows = connection.execute(_CHILD_COUNTS, {"drive_id": drive_id, "parents": some})
        for parent, count in rows.all():
            tree.child_counts[parent] = count


def _load_ancestors(
    connection: Connection, drive_id: DriveId, tree: Tree, node_ids: set[int]
) -> None:
    """Load the links of `node_ids` and of all folders above.

    The database walks up by itself: a query a level let one rename, deep in a chain of 20,000
    folders, keep the only writer for seconds.
    """
    for some in in_lists(list(node_ids)):
        rows = connection.execute(_LINKS_ABOVE, {"drive_id": drive_id, "node_ids": some})
        for node_id, parent, name in rows.all():
            tree.links.setdefault(node_id, {})[parent, name] = None


def _parents_of_placed_folders(tree: Tree, footprint: Footprint) -> set[int]:
    parents: set[int] = set()
    for node_id, new_parents in footprint.placed.items():
        if node_id in footprint.created_folders or _is_folder(tree, node_id):
            for parent in new_parents:
                # A folder that is yet to be made is no row; what it will hang on is.
                while parent in footprint.created_folders and parent not in parents:
                    parents.add(parent)
                    parent = footprint.created_folders[parent]
                parents.add(parent)
    return parents


def _is_folder(tree: Tree, node_id: int) -> bool:
    node = tree.nodes.get(node_id)
    return node is not None and node.kind is NodeKind.FOLDER
