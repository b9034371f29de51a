"""Makes an account together with its home drive."""

import secrets
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection

from backend_server.domain.refusals import Refusal
from backend_server.metadata.account_rows import insert_account
from backend_server.metadata.database import Database
from backend_server.metadata.drive_rows import NewDrive
from backend_server.metadata.errors import ConstraintViolated
from backend_server.protocol.chunking import ChunkerParameters
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import AccountId, DriveId
from backend_server.protocol.limits import DEFAULT_QUOTA_BYTES
from backend_server.services.create_drive import create_drive
from backend_server.services.emails import normalize_email
from backend_server.services.key_wrap import (
    MasterKey,
    chunk_key_purpose,
    data_key_purpose,
    new_key,
    wrap_key,
)
from backend_server.services.passwords import Passwords

HOME_DRIVE_NAME = "home"
_FIRST_KEY_VERSION = 1


class CreateAccount:
    """`mountfs-server user add`."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        master: MasterKey,
        *,
        clock_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._master = master
        self._clock_ms = clock_ms

    async def __call__(
        self,
        email: str,
        password: str,
        *,
        is_admin: bool = False,
        quota_bytes: int = DEFAULT_QUOTA_BYTES,
    ) -> AccountId:
        """Return the new account. Durable on return.

        Raises:
            Refusal: MALFORMED: not an e-mail address, one that is taken, a password of the wrong
                length, a quota below 0.
        """
        address = normalize_email(email)
        if address is None:
            raise Refusal(ErrorCode.MALFORMED, f"{email!r} is not an e-mail address.")
        if quota_bytes < 0:
            raise Refusal(ErrorCode.MALFORMED, "A quota is not negative.")
        password_hash = await self._passwords.hash(password)
        now_ms = self._clock_ms()

        def insert(connection: Connection) -> AccountId:
            account_id = insert_account(
                connection,
                email=address,
                password_hash=password_hash,
                is_admin=is_admin,
                now_ms=now_ms,
            )
            create_drive(connection, self._home_drive(account_id, quota_bytes, now_ms))
            return account_id

        try:
            return await self._database.write(insert)
        except ConstraintViolated:
            raise Refusal(ErrorCode.MALFORMED, f"{address} has an account already.") from None

    def _home_drive(self, account_id: AccountId, quota_bytes: int, now_ms: int) -> NewDrive:
        drive_id = DriveId(secrets.token_hex(8))
        return NewDrive(
            drive_id=drive_id,
            kind="home",
            owner_account=account_id,
            name=HOME_DRIVE_NAME,
            epoch=secrets.token_hex(8),
            wrapped_chunk_key=wrap_key(
                new_key(), master=self._master, purpose=chunk_key_purpose(drive_id)
            ),
            wrapped_data_key=wrap_key(
                new_key(),
                master=self._master,
                purpose=data_key_purpose(drive_id, _FIRST_KEY_VERSION),
            ),
            chunker=msgspec.json.encode(ChunkerParameters()).decode(),
            quota_limit=quota_bytes,
            created_at_ms=now_ms,
        )
