"""Logs a device in: e-mail and password for a token."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from backend_server.domain.refusals import Refusal
from backend_server.metadata.account_rows import AccountRow, load_account_by_email
from backend_server.metadata.database import Database
from backend_server.metadata.device_rows import insert_device
from backend_server.protocol.account_messages import SessionAnswer, SessionRequest
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.limits import DEVICE_NAME_LENGTH_MAX
from backend_server.services.emails import normalize_email
from backend_server.services.passwords import Passwords
from backend_server.services.rate_limit import Allowance, RateLimiter
from backend_server.services.tokens import TOKEN_IDLE_MS_MAX, new_token, token_hash_of

_PER_EMAIL: Final = Allowance(tries_max=10, refill_s=30.0)
_PER_ADDRESS: Final = Allowance(tries_max=60, refill_s=2.0)


@dataclass(frozen=True, slots=True)
class LogInLimits:
    """How often a password may be tried: for one e-mail, and from one address."""

    per_email: Allowance = _PER_EMAIL
    per_address: Allowance = _PER_ADDRESS


class LogIn:
    """POST sessions."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        *,
        clock_ms: Callable[[], int],
        clock_s: Callable[[], float],
        limits: LogInLimits,
    ) -> None:
        """`clock_s` is monotonic: setting the wall clock back must not lock anybody out."""
        self._database = database
        self._passwords = passwords
        self._clock_ms = clock_ms
        self._clock_s = clock_s
        self._by_email = RateLimiter(limits.per_email)
        self._by_address = RateLimiter(limits.per_address)

    async def __call__(self, request: SessionRequest, *, address: str) -> SessionAnswer:
        """Return a token for a new device.

        An unknown e-mail takes the time and gets the answer of a wrong password.

        Args:
            address: Where the call came from; only counted.

        Raises:
            Refusal: WRONG_PASSWORD, RATE_LIMITED, FORBIDDEN (suspended, told only to who knows
                the password), MALFORMED, BUSY.
        """
        device_name = request.device_name.strip()
        if not 0 < len(device_name) <= DEVICE_NAME_LENGTH_MAX or not device_name.isprintable():
            raise Refusal(ErrorCode.MALFORMED, "Name the device with 1 to 255 printed characters.")
        email = normalize_email(request.email) or ""
        self._take_try(email, address)
        account = await self._database.read(partial(load_account_by_email, email=email))
        password_hash = None if account is None else account.password_hash
        if not await self._passwords.matches(password_hash, request.password) or account is None:
            raise Refusal(ErrorCode.WRONG_PASSWORD, "The e-mail or the password is wrong.")
        if account.is_suspended:
            raise Refusal(ErrorCode.FORBIDDEN, "This account is suspended.")
        # Several devices may log in behind each other without using up what guesses may take.
        self._by_email.give_back(email)
        self._by_address.give_back(address)
        return await self._make_device(account, device_name)

    def _take_try(self, email: str, address: str) -> None:
        now_s = self._clock_s()
        wait_s = self._by_address.take(address, now_s=now_s)
        if not wait_s:
            wait_s = self._by_email.take(email, now_s=now_s)
        if wait_s:
            raise Refusal(
                ErrorCode.RATE_LIMITED, "Too many attempts to log in; wait a little.", wait_s
            )

    async def _make_device(self, account: AccountRow, device_name: str) -> SessionAnswer:
        token = new_token()
        token_hash = token_hash_of(token)
        assert token_hash is not None
        now_ms = self._clock_ms()

        def insert(connection: Connection) -> SessionAnswer:
            device_id = insert_device(
                connection,
                account_id=account.account_id,
                name=device_name,
                token_hash=token_hash,
                now_ms=now_ms,
                expires_at_ms=now_ms + TOKEN_IDLE_MS_MAX,
            )
            return SessionAnswer(token, device_id, account.account_id)

        return await self._database.write(insert)
