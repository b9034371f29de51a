"""Statements about devices: one log-in each."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from backend_server.metadata.tables import accounts, devices
from backend_server.protocol.identity import AccountId, DeviceId


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """Times are Unix milliseconds."""

    device_id: DeviceId
    account_id: AccountId
    name: str
    created_at_ms: int
    last_seen_at_ms: int
    expires_at_ms: int
    is_revoked: bool


def insert_device(
    connection: Connection,
    *,
    account_id: AccountId,
    name: str,
    token_hash: bytes,
    now_ms: int,
    expires_at_ms: int,
) -> DeviceId:
    """Make a device, which is let in with the token of that hash."""
    result = connection.execute(
        insert(devices).values(
            account_id=account_id,
            name=name,
            token_hash=token_hash,
            created_at_ms=now_ms,
            last_seen_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
    )
    key = result.inserted_primary_key
    assert key is not None
    return DeviceId(key[0])


def load_device_by_token(
    connection: Connection, token_hash: bytes
) -> tuple[DeviceRow, bool] | None:
    """Return the device of a token, and whether its account is suspended (or gone)."""
    row = connection.execute(
        select(devices).where(devices.c.token_hash == token_hash)
    ).one_or_none()
    if row is None:
        return None
    account = connection.execute(
        select(accounts.c.suspended_at_ms).where(accounts.c.account_id == row.account_id)
    ).one_or_none()
    return _device_of(row), account is None or account.suspended_at_ms is not None


def load_devices(connection: Connection, account_id: AccountId) -> list[DeviceRow]:
    """Return the devices of an account that are not revoked, oldest first."""
    rows = connection.execute(
        select(devices)
        .where(devices.c.account_id == account_id, devices.c.revoked_at_ms.is_(None))
        .order_by(devices.c.device_id)
    )
    return [_device_of(row) for row in rows]


def update_device_seen(
    connection: Connection, device_id: DeviceId, *, now_ms: int, expires_at_ms: int
) -> None:
    """Note that a device was heard of. A revoked one stays revoked."""
    connection.execute(
        update(devices)
        .where(devices.c.device_id == device_id, devices.c.last_seen_at_ms < now_ms)
        .values(last_seen_at_ms=now_ms, expires_at_ms=expires_at_ms)
    )


def update_device_revoked(
    connection: Connection, device_id: DeviceId, account_id: AccountId, *, now_ms: int
) -> bool:
    """Revoke a device of that account. Returns whether there is such a device. Idempotent."""
    known = connection.execute(
        select(devices.c.device_id).where(
            devices.c.device_id == device_id, devices.c.account_id == account_id
        )
    ).one_or_none()
    if known is None:
        return False
    connection.execute(
        update(devices)
        .where(devices.c.device_id == device_id, devices.c.revoked_at_ms.is_(None))
        .values(revoked_at_ms=now_ms)
    )
    return True


def _device_of(row: Row[Any]) -> DeviceRow:
    return DeviceRow(
        device_id=DeviceId(row.device_id),
        account_id=AccountId(row.account_id),
        name=row.name,
        created_at_ms=row.created_at_ms,
        last_seen_at_ms=row.last_seen_at_ms,
        expires_at_ms=row.expires_at_ms,
        is_revoked=row.revoked_at_ms is not None,
    )
