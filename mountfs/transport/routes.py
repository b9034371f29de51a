"""Where the server's calls are."""

from typing import Final

from backend_server.protocol.identity import DeviceId, DriveId

SESSIONS: Final = "/v1/sessions"
ACCOUNT: Final = "/v1/account"
DEVICES: Final = "/v1/devices"
POLL: Final = "/v1/changes/poll"


def device(device_id: DeviceId) -> str:
    return f"{DEVICES}/{device_id}"


def of_drive(drive_id: DriveId, call: str) -> str:
    """`call`: snapshot, changes, uploads, blocks, blocks/fetch, blocks/lost, manifests/fetch or
    commits."""
    return f"/v1/drives/{drive_id}/{call}"
