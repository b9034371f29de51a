"""How much an upload may send. Pure."""

from dataclasses import dataclass
from typing import Final

from backend_server.domain.refusals import Refusal
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DeviceId
from backend_server.protocol.limits import BLOCKS_BODY_BYTES_MAX, MIB

UNANNOUNCED_BYTES_MAX: Final = 64 * MIB
"""What a device may send of one drive before it says what for: announcement and blocks travel at
the same time, and either may arrive first."""
assert UNANNOUNCED_BYTES_MAX >= 2 * BLOCKS_BODY_BYTES_MAX
_ANNOUNCE_FIRST_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class UploadStanding:
    """An upload as it stands before more blocks are taken. All in bytes of plaintext."""

    device_id: DeviceId
    allowed_bytes: int
    """0 while the upload is not announced."""
    received_bytes: int
    device_unannounced_bytes: int
    """What the device sent in this drive under all uploads that it has yet to announce."""


def check_receipt(standing: UploadStanding, *, device_id: DeviceId, new_bytes: int) -> None:
    """Return if `new_bytes` more may be taken. Pure.

    Bytes that are on their way in other bodies of the same upload are not counted yet: what is
    taken may pass the bound by as many bodies as are received at once.

    Raises:
        Refusal: FORBIDDEN (another device's upload), TOO_LARGE (more than was announced), BUSY
            (announce first).
    """
    if standing.device_id != device_id:
        raise Refusal(ErrorCode.FORBIDDEN, "This upload belongs to another device.")
    if standing.allowed_bytes:
        if standing.received_bytes + new_bytes > standing.allowed_bytes:
            raise Refusal(
                ErrorCode.TOO_LARGE,
                f"The upload announced {standing.allowed_bytes} bytes of blocks, not more.",
            )
    elif standing.device_unannounced_bytes + new_bytes > UNANNOUNCED_BYTES_MAX:
        raise Refusal(
            ErrorCode.BUSY,
            "Too much was sent without an announcement; announce the upload first.",
            _ANNOUNCE_FIRST_RETRY_S,
        )
