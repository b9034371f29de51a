"""Rows of a drive's tree and counters as a check needs them, a batch at a time."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    bindparam,
    func,
    select,
    tuple_,
)

from backend_server.domain.check_counters import DriveCounters
from backend_server.domain.check_tree import (
    DentryFacts,
    FolderLink,
    NodeFacts,
)
from backend_server.metadata.epoch_rows import load_ended_epochs
from backend_server.metadata.tables import (
    dentries,
    drives,
    journal,
    nodes,
    revisions,
    uploads,
)
from backend_server.protocol.identity import ROOT_NODE, DriveId
from backend_server.protocol.tree_messages import NodeKind

BATCH_ROWS: Final = 2000

_parent = nodes.alias("parent_node")
_target = nodes.alias("target_node")

_DENTRIES: Final = (
    select(
        dentries.c.parent,
        dentries.c.name,
        dentries.c.node_id,
        dentries.c.sequence,
        _parent.c.kind,
        _target.c.kind,
        select(revisions.c.revision)
        .where(
            revisions.c.drive_id == dentries.c.drive_id, revisions.c.node_id == dentries.c.node_id
        )
        .exists(),
    )
    .select_from(
        dentries.outerjoin(
            _parent,
            and_(_parent.c.drive_id == dentries.c.drive_id, _parent.c.node_id == dentries.c.parent),
        ).outerjoin(
            _target,
            and_(
                _target.c.drive_id == dentries.c.drive_id, _target.c.node_id == dentries.c.node_id
            ),
        )
    )
    .where(
        dentries.c.drive_id == bindparam("drive_id"),
        dentries.c.node_id.is_not(None),
        tuple_(dentries.c.parent, dentries.c.name)
        > tuple_(bindparam("after_parent"), bindparam("after_name")),
    )
    .order_by(dentries.c.parent, dentries.c.name)
    .limit(BATCH_ROWS)
)
_GOOD_LINKS: Final = (
    select(func.count())
    .select_from(
        dentries.join(
            _parent,
            and_(_parent.c.drive_id == dentries.c.drive_id, _parent.c.node_id == dentries.c.parent),
        )
    )
    .where(
        dentries.c.drive_id == nodes.c.drive_id,
        dentries.c.node_id.is_not(None),
        dentries.c.node_id == nodes.c.node_id,
        _parent.c.kind == NodeKind.FOLDER.value,
    )
    .scalar_subquery()
)
_NODES: Final = (
    select(nodes.c.node_id, nodes.c.kind, _GOOD_LINKS)
    .where(
        nodes.c.drive_id == bindparam("drive_id"),
        nodes.c.node_id > bindparam("after"),
        nodes.c.kind != NodeKind.REMOVED.value,
    )
    .order_by(nodes.c.node_id)
    .limit(BATCH_ROWS)
)
_FOLDERS: Final = (
    select(nodes.c.node_id)
    .where(
        nodes.c.drive_id == bindparam("drive_id"),
        nodes.c.node_id > bindparam("after"),
        nodes.c.kind == NodeKind.FOLDER.value,
    )
    .order_by(nodes.c.node_id)
    .limit(BATCH_ROWS)
)
_LINKS: Final = (
    select(dentries.c.node_id, dentries.c.parent, dentries.c.name, dentries.c.sequence)
    .select_from(
        dentries.join(
            _parent,
            and_(_parent.c.drive_id == dentries.c.drive_id, _parent.c.node_id == dentries.c.parent),
        )
    )
    .where(
        dentries.c.drive_id == bindparam("drive_id"),
        dentries.c.node_id.is_not(None),
        dentries.c.node_id.in_(bindparam("node_ids", expanding=True)),
        _parent.c.kind == NodeKind.FOLDER.value,
    )
)


def load_drive_ids(connection: Connection) -> list[DriveId]:
    """Return every drive, by id."""
    return [
        DriveId(row) for row in connection.scalars(select(drives.c.drive_id).order_by("drive_id"))
    ]


def load_counters(connection: Connection, drive_id: DriveId) -> DriveCounters:
    """Return what the drive's row counts, and what there is to count."""
    drive = connection.execute(
        select(
            drives.c.head_sequence,
            drives.c.compacted_through,
            drives.c.quota_used,
            drives.c.quota_reserved,
        ).where(drives.c.drive_id == drive_id)
    ).one()

    def scalar(expression: ColumnElement[int], table: Table) -> int:
        statement = select(expression).where(table.c.drive_id == drive_id)
        return int(connection.scalar(statement) or 0)

    journal_last = scalar(func.max(journal.c.sequence), journal)
    return DriveCounters(
        drive_id=drive_id,
        head_sequence=drive.head_sequence,
        highest_sequence=max(
            journal_last,
            scalar(func.max(nodes.c.sequence), nodes),
            scalar(func.max(dentries.c.sequence), dentries),
        ),
        journal_count=scalar(func.count(), journal),
        journal_first=scalar(func.min(journal.c.sequence), journal),
        journal_last=journal_last,
        compacted_through=drive.compacted_through,
        quota_used=drive.quota_used,
        charged_bytes=scalar(func.sum(nodes.c.charged_bytes), nodes),
        quota_reserved=drive.quota_reserved,
        reserved_bytes=scalar(func.sum(uploads.c.reserved_bytes), uploads),
        ended_epochs=load_ended_epochs(connection, drive_id),
    )


def load_root_kind(connection: Connection, drive_id: DriveId) -> int | None:
    """Return what kind of node the drive's root is, None if there is none."""
    return connection.scalar(
        select(nodes.c.kind).where(nodes.c.drive_id == drive_id, nodes.c.node_id == ROOT_NODE)
    )


def load_dentry_batch(
    connection: Connection, drive_id: DriveId, after: tuple[int, bytes]
) -> list[DentryFacts]:
    """Return the next live dentries behind (parent, name), at most BATCH_ROWS."""
    rows = connection.execute(
        _DENTRIES, {"drive_id": drive_id, "after_parent": after[0], "after_name": after[1]}
    )
    return [
        DentryFacts(row[0], row[1], row[2], row[3], row[4], row[5], bool(row[6]))
        for row in rows.all()
    ]


def load_node_batch(connection: Connection, drive_id: DriveId, after: int) -> list[NodeFacts]:
    """Return the next live nodes behind `after`, at most BATCH_ROWS."""
    rows = connection.execute(_NODES, {"drive_id": drive_id, "after": after})
    return [NodeFacts(*row) for row in rows.all()]


def load_folder_batch(connection: Connection, drive_id: DriveId, after: int) -> list[int]:
    """Return the next folders behind `after`, at most BATCH_ROWS."""
    return list(connection.scalars(_FOLDERS, {"drive_id": drive_id, "after": after}))


def load_folder_links(
    connection: Connection, drive_id: DriveId, folder_ids: Iterable[int]
) -> dict[int, list[FolderLink]]:
    """Return the names, in live folders, of at most BATCH_ROWS folders."""
    links: dict[int, list[FolderLink]] = {}
    wanted = list(folder_ids)
    if wanted:
        rows = connection.execute(_LINKS, {"drive_id": drive_id, "node_ids": wanted})
        for node_id, parent, name, sequence in rows.all():
            links.setdefault(node_id, []).append(FolderLink(parent, name, sequence))
    return links
