"""A cursor that a client sent, checked against its drive."""

from sqlalchemy import Connection

from backend_server.domain.cursors import Cursor, CursorInvalid, open_any_cursor, open_cursor
from backend_server.domain.epochs import find_lost_past
from backend_server.domain.refusals import Refusal
from backend_server.metadata.drive_rows import DriveRow
from backend_server.metadata.epoch_rows import load_ended_epochs
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.lost_past import LostPast


class CursorAhead(Refusal):
    """The server itself sealed a cursor behind the drive's head: the drive was restored from a
    backup, and nobody said so."""


def open_cursor_of(drive: DriveRow, token: str, *, cursor_key: bytes) -> Cursor:
    """Return the cursor in `token`.

    Raises:
        CursorAhead: See there; with CURSOR_RESET.
        Refusal: CURSOR_RESET: it is of another drive or epoch, or so old that the journal behind
            it was compacted. The client builds a second mirror from a snapshot.
    """
    try:
        cursor = open_cursor(token, key=cursor_key, drive_id=drive.drive_id, epoch=drive.epoch)
    except CursorInvalid as error:
        raise Refusal(ErrorCode.CURSOR_RESET, "Start again from a snapshot.") from error
    if cursor.sequence > drive.head_sequence:
        raise CursorAhead(ErrorCode.CURSOR_RESET, "Start again from a snapshot.")
    if cursor.needs_tombstones_from < drive.compacted_through:
        raise Refusal(ErrorCode.CURSOR_RESET, "Start again from a snapshot.")
    return cursor


def load_lost_past(
    connection: Connection, drive: DriveRow, token: str, *, cursor_key: bytes
) -> LostPast | None:
    """Return what the drive has lost of the past up to the cursor in `token`, which may be of an
    epoch that ended; None for nothing, and for what is no cursor of this drive."""
    try:
        epoch, cursor = open_any_cursor(token, key=cursor_key, drive_id=drive.drive_id)
    except CursorInvalid:
        return None
    if epoch == drive.epoch:
        return None
    return find_lost_past(
        load_ended_epochs(connection, drive.drive_id),
        reader_epoch=epoch,
        reader_sequence=cursor.sequence,
    )
