"""Rows around a commit: numbers and answers of devices, the journal, revisions."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from backend_server.domain.verdicts import Change
from backend_server.metadata.bulk import BulkInsert
from backend_server.metadata.tables import (
    device_progress,
    journal,
    operation_answers,
    revisions,
)
from backend_server.protocol.commit_messages import OperationAnswer
from backend_server.protocol.encoding import decode, encode
from backend_server.protocol.identity import DeviceId, DriveId

_ANSWERS: Final = (
    select(operation_answers.c.answer)
    .where(
        operation_answers.c.drive_id == bindparam("drive_id"),
        operation_answers.c.device_id == bindparam("device_id"),
        operation_answers.c.number >= bindparam("first"),
        operation_answers.c.number <= bindparam("last"),
    )
    .order_by(operation_answers.c.number)
)
_FORGET_ANSWERS: Final = delete(operation_answers).where(
    operation_answers.c.drive_id == bindparam("in_drive"),
    operation_answers.c.device_id == bindparam("of_device"),
    operation_answers.c.number <= bindparam("through"),
)
_STORE_ANSWERS: Final = BulkInsert(operation_answers, on_conflict="fail")
_STORE_PROGRESS: Final = BulkInsert(device_progress, on_conflict="replace")
_STORE_JOURNAL: Final = BulkInsert(journal, on_conflict="fail")
_STORE_REVISIONS: Final = BulkInsert(revisions, on_conflict="fail")


def load_answers(
    connection: Connection, drive_id: DriveId, device_id: DeviceId, first: int, last: int
) -> list[OperationAnswer]:
    """Return the kept answers to operations `first` to `last`, in order."""
    rows = connection.execute(
        _ANSWERS, {"drive_id": drive_id, "device_id": device_id, "first": first, "last": last}
    )
    return [decode(row[0], OperationAnswer) for row in rows.all()]


def forget_answers(
    connection: Connection, drive_id: DriveId, device_id: DeviceId, through: int
) -> None:
    """Drop the answers that the device said it has."""
    connection.execute(
        _FORGET_ANSWERS, {"in_drive": drive_id, "of_device": device_id, "through": through}
    )


def store_answers(
    connection: Connection,
    drive_id: DriveId,
    device_id: DeviceId,
    answers: Sequence[OperationAnswer],
) -> None:
    """Keep `answers`, of ascending numbers, and the last of them as the highest number."""
    _STORE_ANSWERS.execute(
        connection,
        [(drive_id, device_id, answer.number, encode(answer)) for answer in answers],
    )
    _STORE_PROGRESS.execute(connection, [(drive_id, device_id, answers[-1].number)])


def store_journal(
    connection: Connection,
    drive_id: DriveId,
    device_id: DeviceId,
    changes: Iterable[Change],
    *,
    now_ms: int,
) -> None:
    """Write the journal entries of accepted `changes`, and the revisions that they made."""
    entries = []
    made = []
    for change in changes:
        entries.append(
            (drive_id, change.sequence, change.kind.value, change.node_id, device_id, now_ms)
        )
        content = change.content
        if content is not None:
            made.append(
                (
                    drive_id,
                    change.node_id,
                    change.sequence,
                    content.manifest_id,
                    content.size_bytes,
                    content.charged_bytes,
                    device_id,
                    now_ms,
                    change.merged_from,
                )
            )
    _STORE_JOURNAL.execute(connection, entries)
    _STORE_REVISIONS.execute(connection, made)
