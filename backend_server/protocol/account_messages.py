"""Log-in, account, devices: JSON."""

import msgspec

from backend_server.protocol.chunking import ChunkerParameters


class SessionRequest(msgspec.Struct, frozen=True):
    """POST /v1/sessions: log in a device."""

    email: str
    password: str
    device_name: str


class SessionAnswer(msgspec.Struct, frozen=True):
    """The token is shown once; the server keeps its hash."""

    token: str
    device_id: int
    account_id: int


class DriveInfo(msgspec.Struct, frozen=True):
    """A drive as one account sees it. `chunk_key` is base64 in JSON, 32 bytes."""

    drive_id: str
    name: str
    root_node: int
    epoch: str
    chunk_key: bytes
    chunker: ChunkerParameters


class AccountAnswer(msgspec.Struct, frozen=True):
    """GET /v1/account: who am I, and which drives may I see (the home drive first)."""

    account_id: int
    email: str
    device_id: int
    device_name: str
    drives: list[DriveInfo]
    server_time_ms: int


class DeviceInfo(msgspec.Struct, frozen=True):
    """One row of GET /v1/devices. Times are Unix milliseconds."""

    device_id: int
    name: str
    created_at_ms: int
    last_seen_at_ms: int
    is_current: bool
