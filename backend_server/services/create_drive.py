"""Makes a drive: its row, its first key, its owner's view and its root folder."""

from sqlalchemy import Connection

from backend_server.metadata.drive_rows import NewDrive, insert_drive
from backend_server.metadata.tables import nodes
from backend_server.protocol.identity import ROOT_NODE
from backend_server.protocol.tree_messages import NodeKind

_ROOT_SEQUENCE = 1


def create_drive(connection: Connection, new: NewDrive) -> None:
    """Write `new` with an empty root folder (mode 0755) as its first change.

    Part of the caller's write transaction, so that an account and its home drive appear together.

    Raises:
        ConstraintViolated: The drive id is taken (as the door says it).
    """
    now_ns = new.created_at_ms * 1_000_000
    insert_drive(connection, new, head_sequence=_ROOT_SEQUENCE)
    connection.execute(
        nodes.insert().values(
            drive_id=new.drive_id,
            node_id=ROOT_NODE,
            sequence=_ROOT_SEQUENCE,
            kind=NodeKind.FOLDER.value,
            mode=0o755,
            uid=0,
            gid=0,
            mtime_ns=now_ns,
            ctime_ns=now_ns,
            attributes_version=_ROOT_SEQUENCE,
            size_bytes=0,
            revision=0,
            manifest_id=b"",
            entries=b"",
            target=b"",
            rdev=0,
            charged_bytes=0,
            created_at_ms=new.created_at_ms,
        )
    )
