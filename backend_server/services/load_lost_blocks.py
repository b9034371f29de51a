"""GET blocks/lost: which chunks of a drive are lost, so that a device can bring them back."""

from functools import partial

from sqlalchemy import Connection

from backend_server.domain.block_rights import may_read_revision
from backend_server.domain.caller import Caller
from backend_server.domain.refusals import Refusal
from backend_server.metadata.database import Database
from backend_server.metadata.lost_rows import load_lost_page
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DIGEST_BYTES, DriveId, NodeId, RevisionId
from backend_server.protocol.limits import LOST_BLOCKS_PAGE_MAX
from backend_server.protocol.transfer_messages import LostBlock, LostBlocksPage
from backend_server.services.authorize import authorize_drive


class LoadLostBlocks:
    """Tells, a page at a time, only of chunks that the caller could fetch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, caller: Caller, drive_id: DriveId, after: str) -> LostBlocksPage:
        """Return the page behind `after`, which is of the page before or empty.

        Raises:
            Refusal: NOT_FOUND, MALFORMED.
        """
        try:
            behind = bytes.fromhex(after)
        except ValueError:
            behind = b"?"
        if len(behind) not in (0, DIGEST_BYTES):
            raise Refusal(ErrorCode.MALFORMED, "`after` is not of a page before.")
        return await self._database.read(
            partial(_load, caller=caller, drive_id=drive_id, after=behind)
        )


def _load(
    connection: Connection, *, caller: Caller, drive_id: DriveId, after: bytes
) -> LostBlocksPage:
    view = authorize_drive(connection, caller, drive_id)
    page = load_lost_page(connection, drive_id, after, count_max=LOST_BLOCKS_PAGE_MAX)
    blocks = [
        LostBlock(lost.node_id, lost.revision, lost.chunk_id, lost.length)
        for lost in page
        if may_read_revision(view, NodeId(lost.node_id), RevisionId(lost.revision))
    ]
    is_full = len(page) == LOST_BLOCKS_PAGE_MAX
    return LostBlocksPage(blocks, page[-1].chunk_id.hex() if is_full else "")
