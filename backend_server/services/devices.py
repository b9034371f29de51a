"""Lists and revokes the devices of an account."""

from collections.abc import Callable
from functools import partial

from backend_server.domain.caller import Caller
from backend_server.domain.refusals import Refusal
from backend_server.metadata.database import Database
from backend_server.metadata.device_rows import load_devices, update_device_revoked
from backend_server.protocol.account_messages import DeviceInfo
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DEVICE_ID_MAX, DeviceId


class ListDevices:
    """GET devices."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, caller: Caller) -> list[DeviceInfo]:
        """Return the caller's devices that are not revoked, oldest first."""
        rows = await self._database.read(partial(load_devices, account_id=caller.account_id))
        return [
            DeviceInfo(
                device_id=row.device_id,
                name=row.name,
                created_at_ms=row.created_at_ms,
                last_seen_at_ms=row.last_seen_at_ms,
                is_current=row.device_id == caller.device_id,
            )
            for row in rows
        ]


class RevokeDevice:
    """DELETE devices/{id}."""

    def __init__(self, database: Database, *, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def __call__(self, caller: Caller, device_id: DeviceId) -> None:
        """Revoke one of the caller's devices, its own perhaps. Durable on return. Idempotent.

        Raises:
            Refusal: NOT_FOUND: not a device of this account.
        """
        is_known = 0 < device_id <= DEVICE_ID_MAX and await self._database.write(
            partial(
                update_device_revoked,
                device_id=device_id,
                account_id=caller.account_id,
                now_ms=self._clock_ms(),
            )
        )
        if not is_known:
            raise Refusal(ErrorCode.NOT_FOUND, "No such device.")
