"""Passwords: argon2id, in threads of their own.

A hash takes tens of milliseconds and 64 MiB on purpose, so only a few run at a time, only a few
more may wait, and the rest is told to come back.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from backend_server.blocks.worker_threads import Threads
from backend_server.domain.refusals import Refusal
from backend_server.protocol.errors import ErrorCode

T = TypeVar("T")

PASSWORD_LENGTH_MIN: Final = 8
PASSWORD_LENGTH_MAX: Final = 1024
WAITING_MAX: Final = 32
_BUSY_RETRY_S: Final = 2.0


class Passwords:
    """Makes and checks hashes. Everything that hashes goes through here."""

    def __init__(self, hasher: PasswordHasher, *, threads: Threads) -> None:
        self._hasher = hasher
        self._threads = threads
        self._waiting_count = 0
        self._nobodys_hash: str | None = None

    async def hash(self, password: str) -> str:
        """Return the argon2id hash of a new password, with its parameters.

        Raises:
            Refusal: MALFORMED (too short or too long), BUSY.
        """
        if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
            raise Refusal(
                ErrorCode.MALFORMED,
                f"a password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters",
            )
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether `password` made `password_hash`; None, for nobody, takes the same time.

        Raises:
            Refusal: BUSY.
        """
        if len(password) > PASSWORD_LENGTH_MAX:
            return False
        if self._nobodys_hash is None:
            self._nobodys_hash = await self._run(lambda: self._hasher.hash("nobody's password"))
        against = password_hash or self._nobodys_hash
        return await self._run(lambda: self._verify(against, password)) and bool(password_hash)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting_count >= WAITING_MAX:
            raise Refusal(ErrorCode.BUSY, "too many log-ins at once", _BUSY_RETRY_S)
        self._waiting_count += 1
        try:
            return await self._threads.run(work)
        finally:
            self._waiting_count -= 1

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
