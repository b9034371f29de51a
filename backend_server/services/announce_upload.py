"""POST uploads: announces a pending revision."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from backend_server.domain.caller import Caller
from backend_server.domain.refusals import Refusal
from backend_server.domain.tree import Quota
from backend_server.domain.uploads import (
    Sending,
    check_upload,
    decide_allowance,
    decide_reservation,
)
from backend_server.metadata.block_rows import load_stored_ids, pin_chunks
from backend_server.metadata.database import Database
from backend_server.metadata.drive_rows import load_drive, store_drive_counters
from backend_server.metadata.upload_rows import (
    UploadRow,
    load_pinned,
    load_upload,
    store_upload,
)
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import ChunkId, DriveId, UploadId
from backend_server.protocol.limits import UPLOAD_LEASE_S
from backend_server.protocol.transfer_messages import UploadAnswer, UploadRequest
from backend_server.services.authorize import authorize_drive

_PIN_WEIGHT_BYTES: Final = 200


class AnnounceUpload:
    """Reserves quota, pins what is present, says what is missing."""

    def __init__(self, database: Database, *, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def __call__(
        self, caller: Caller, drive_id: DriveId, request: UploadRequest
    ) -> UploadAnswer:
        """Return which chunks to send. Durable on return. Idempotent; renews the lease.

        A chunk that is called present stays so until the upload is committed or its lease is over.

        Raises:
            Refusal: NOT_FOUND, FORBIDDEN, MALFORMED, TOO_LARGE, QUOTA_EXCEEDED.
        """
        check_upload(request)

        def work(connection: Connection) -> UploadAnswer:
            return _announce(connection, caller, drive_id, request, now_ms=self._clock_ms())

        return await self._database.write(
            work, weight_bytes=_PIN_WEIGHT_BYTES * len(request.chunks)
        )


def _announce(
    connection: Connection,
    caller: Caller,
    drive_id: DriveId,
    request: UploadRequest,
    *,
    now_ms: int,
) -> UploadAnswer:
    authorize_drive(connection, caller, drive_id, for_change=True)
    drive = load_drive(connection, drive_id, for_change=True)
    upload_id = UploadId(request.upload_id)
    before = load_upload(connection, drive_id, upload_id)
    if before is not None and before.device_id != caller.device_id:
        raise Refusal(ErrorCode.FORBIDDEN, "This upload belongs to another device.")
    reserved_before = 0 if before is None else before.reserved_bytes
    reserved = decide_reservation(
        Quota(drive.quota_limit, drive.quota_used, drive.quota_reserved),
        reserved_before=reserved_before,
        growth_bytes=request.growth_bytes,
    )
    lengths = {ChunkId(chunk.chunk_id): chunk.length for chunk in request.chunks}
    stored = load_stored_ids(connection, drive_id, list(lengths))
    missing = {chunk_id: length for chunk_id, length in lengths.items() if chunk_id not in stored}
    held = load_pinned(connection, drive_id, upload_id, list(missing))
    allowed_bytes = decide_allowance(
        None if before is None else Sending(before.allowed_bytes, before.received_bytes),
        missing_bytes=sum(missing.values()),
        missing_before_bytes=sum(missing[ChunkId(chunk_id)] for chunk_id in held),
        unnamed_bytes=min(request.new_bytes_max, drive.quota_limit),
    )
    store_upload(
        connection,
        UploadRow(
            drive_id=drive_id,
            upload_id=upload_id,
            device_id=caller.device_id,
            node_id=request.node_id,
            base_revision=request.base_revision,
            reserved_bytes=reserved,
            received_bytes=0 if before is None else before.received_bytes,
            allowed_bytes=allowed_bytes,
            lease_until_ms=now_ms + round(UPLOAD_LEASE_S * 1000),
        ),
    )
    pin_chunks(connection, drive_id, upload_id, list(lengths))
    if reserved != reserved_before:
        store_drive_counters(
            connection,
            drive_id,
            head_sequence=drive.head_sequence,
            quota_used=drive.quota_used,
            quota_reserved=drive.quota_reserved - reserved_before + reserved,
        )
    return UploadAnswer(
        [index for index, chunk in enumerate(request.chunks) if ChunkId(chunk.chunk_id) in missing],
        UPLOAD_LEASE_S,
    )
