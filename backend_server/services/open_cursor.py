"""A cursor that a client sent, checked against its drive."""

from backend_server.domain.cursors import Cursor, CursorInvalid, open_cursor
from backend_server.domain.refusals import Refusal
from backend_server.metadata.drive_rows import DriveRow
from backend_server.protocol.errors import ErrorCode


def open_cursor_of(drive: DriveRow, token: str, *, cursor_key: bytes) -> Cursor:
    """Return the cursor in `token`.

    Raises:
        Refusal: CURSOR_RESET: it is of another drive or epoch, ahead of the drive (which was
            restored from a backup), or so old that the journal behind it was compacted. The
            client builds a second mirror from a snapshot.
    """
    try:
        cursor = open_cursor(token, key=cursor_key, drive_id=drive.drive_id, epoch=drive.epoch)
    except CursorInvalid as error:
        raise Refusal(ErrorCode.CURSOR_RESET, "Start again from a snapshot.") from error
    is_compacted = cursor.needs_tombstones_from < drive.compacted_through
    if cursor.sequence > drive.head_sequence or is_compacted:
        raise Refusal(ErrorCode.CURSOR_RESET, "Start again from a snapshot.")
    return cursor
