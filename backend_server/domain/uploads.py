"""What an announced upload reserves and may send, and when it is over. Pure."""

from dataclasses import dataclass
from typing import Final

from backend_server.domain.refusals import Refusal
from backend_server.domain.tree import Quota
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DIGEST_BYTES, NODE_ID_MAX, UPLOAD_ID_BYTES
from backend_server.protocol.limits import (
    CHUNK_SIZE_BYTES_MAX,
    FILE_SIZE_BYTES_MAX,
    UPLOAD_CHUNKS_MAX,
)
from backend_server.protocol.transfer_messages import UploadRequest

# `allowed_bytes` 0 says that an upload is not announced; one that has nothing to send is.
_ALLOWED_BYTES_MIN: Final = 1


def check_upload(request: UploadRequest) -> None:
    """Check what an announcement says about itself. Pure.

    Raises:
        Refusal: MALFORMED; TOO_LARGE (more chunks than one announcement may name).
    """
    if len(request.chunks) > UPLOAD_CHUNKS_MAX:
        raise Refusal(ErrorCode.TOO_LARGE, f"Announce at most {UPLOAD_CHUNKS_MAX} chunks a call.")
    if not (
        len(request.upload_id) == UPLOAD_ID_BYTES
        and 0 < request.node_id <= NODE_ID_MAX
        and 0 <= request.base_revision < 1 << 63
        and abs(request.growth_bytes) <= FILE_SIZE_BYTES_MAX
        and 0 <= request.new_bytes_max <= FILE_SIZE_BYTES_MAX
        and all(
            len(chunk.chunk_id) == DIGEST_BYTES and 0 < chunk.length <= CHUNK_SIZE_BYTES_MAX
            for chunk in request.chunks
        )
    ):
        raise Refusal(ErrorCode.MALFORMED, "Not an announcement of an upload.")


def decide_reservation(quota: Quota, *, reserved_before: int, growth_bytes: int) -> int:
    """Return how many bytes the upload reserves from now on, in place of `reserved_before`. Pure.

    Raises:
        Refusal: QUOTA_EXCEEDED. Reserving less than before is always allowed.
    """
    reserved = max(0, growth_bytes)
    if reserved <= reserved_before:
        return reserved
    if quota.used + quota.reserved - reserved_before + reserved > quota.limit:
        raise Refusal(ErrorCode.QUOTA_EXCEEDED, "The drive's quota has no room for this upload.")
    return reserved


@dataclass(frozen=True, slots=True)
class Sending:
    """What an upload may send and has sent, in bytes of plaintext."""

    allowed_bytes: int
    received_bytes: int


def decide_allowance(
    before: Sending | None,
    *,
    missing_bytes: int,
    missing_before_bytes: int,
    unnamed_bytes: int = 0,
) -> int:
    """Return how many bytes the upload may send in all, after an announcement. Pure.

    Announcements add up: each allows the missing chunks that no earlier one named. Blocks that
    came before the first announcement count as received, and as nothing else.

    Args:
        missing_bytes: Of the request's chunks that are not stored.
        missing_before_bytes: Of those among them that the upload holds already.
        unnamed_bytes: What may come from now on without being named.
    """
    received = 0 if before is None else before.received_bytes
    if before is None or before.allowed_bytes == 0:
        named = max(_ALLOWED_BYTES_MIN, received + missing_bytes)
    else:
        named = before.allowed_bytes + missing_bytes - missing_before_bytes
    return max(named, received + unnamed_bytes)
