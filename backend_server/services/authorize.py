"""Whether a caller may see or change a drive; asked inside the transaction that it permits."""

from sqlalchemy import Connection

from backend_server.domain.caller import Caller, View
from backend_server.domain.refusals import Refusal
from backend_server.metadata.drive_rows import load_view
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId


def authorize_drive(
    connection: Connection, caller: Caller, drive_id: DriveId, *, for_change: bool = False
) -> View:
    """Return what the caller sees of the drive.

    Raises:
        Refusal: NOT_FOUND, both for a drive that is not there and for one that the caller may not
            see; FORBIDDEN when it may see but not change it.
    """
    view = load_view(connection, caller.account_id, drive_id)
    if view is None:
        raise Refusal(ErrorCode.NOT_FOUND, "No such drive.")
    if for_change and not view.may_change:
        raise Refusal(ErrorCode.FORBIDDEN, "You may read this drive, not change it.")
    return view
