"""Tells from a token which device is calling."""

from collections.abc import Callable
from functools import partial

from backend_server.domain.caller import Caller
from backend_server.domain.refusals import Refusal
from backend_server.metadata.database import Database
from backend_server.metadata.device_rows import (
    DeviceRow,
    load_device_by_token,
    update_device_seen,
)
from backend_server.metadata.errors import MetadataUnavailable
from backend_server.protocol.errors import ErrorCode
from backend_server.services.tokens import (
    SEEN_WRITTEN_EVERY_MS,
    TOKEN_IDLE_MS_MAX,
    token_hash_of,
)


class Authenticate:
    """Asked by every call but log-in. Nothing is remembered: a revocation works at once."""

    def __init__(self, database: Database, *, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def __call__(self, token: str) -> Caller:
        """Return who holds `token`.

        Raises:
            Refusal: TOKEN_INVALID, TOKEN_EXPIRED, DEVICE_REVOKED, FORBIDDEN (suspended).
        """
        token_hash = token_hash_of(token)
        found = None
        if token_hash is not None:
            found = await self._database.read(partial(load_device_by_token, token_hash=token_hash))
        if found is None:
            raise Refusal(ErrorCode.TOKEN_INVALID, "This token is unknown; log in again.")
        device, is_suspended = found
        now_ms = self._clock_ms()
        check_device(device, is_suspended=is_suspended, now_ms=now_ms)
        if now_ms - device.last_seen_at_ms >= SEEN_WRITTEN_EVERY_MS:
            await self._note_seen(device, now_ms)
        return Caller(device.account_id, device.device_id)

    async def _note_seen(self, device: DeviceRow, now_ms: int) -> None:
        try:
            await self._database.write(
                partial(
                    update_device_seen,
                    device_id=device.device_id,
                    now_ms=now_ms,
                    expires_at_ms=now_ms + TOKEN_IDLE_MS_MAX,
                )
            )
        except MetadataUnavailable:
            # A full disk must not lock readers out; the next call tries again.
            return


def check_device(device: DeviceRow, *, is_suspended: bool, now_ms: int) -> None:
    """Return if the device is let in. Pure.

    Raises:
        Refusal: DEVICE_REVOKED, TOKEN_EXPIRED, FORBIDDEN.
    """
    if device.is_revoked:
        raise Refusal(ErrorCode.DEVICE_REVOKED, "This device was signed out; log in again.")
    if now_ms >= device.expires_at_ms:
        raise Refusal(ErrorCode.TOKEN_EXPIRED, "This log-in has expired; log in again.")
    if is_suspended:
        raise Refusal(ErrorCode.FORBIDDEN, "This account is suspended.")
