"""From what the server says, and from what the network does, to `mountfs.errors`."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import msgspec
import trio

from backend_server.protocol.encoding import MessageMalformed
from backend_server.protocol.errors import ErrorBody, ErrorCode
from backend_server.protocol.frames import FrameMalformed
from mountfs.errors import (
    Corruption,
    CursorReset,
    DeadlinePassed,
    DeviceRevoked,
    MountError,
    Offline,
    QuotaExceeded,
    RequestRefused,
    ServerBusy,
    SetupError,
    TokenExpired,
    TokenInvalid,
    WrongPassword,
)

# Used when the server names no time itself.
_RETRY_AFTER_S: Final = {
    ErrorCode.RATE_LIMITED: 5.0,
    ErrorCode.BUSY: 1.0,
    ErrorCode.STORAGE_FULL: 30.0,
    ErrorCode.INTERNAL: 5.0,
}
RETRY_AFTER_S_MAX: Final = 300.0
"""However long a server asks for: a mount that waits for a day looks dead."""
_MESSAGE_LENGTH_MAX: Final = 500
# A proxy in front of a server that is down or restarting answers with these.
_BUSY_STATUS: Final = frozenset({429, 500, 502, 503, 504})


def refusal_of(code: ErrorCode, message: str, retry_after_s: float = 0.0) -> MountError:
    """Return the exception for a code of the server. Pure. Every code has one."""
    match code:
        case ErrorCode.WRONG_PASSWORD:
            return WrongPassword(message)
        case ErrorCode.TOKEN_INVALID:
            return TokenInvalid(message)
        case ErrorCode.TOKEN_EXPIRED:
            return TokenExpired(message)
        case ErrorCode.DEVICE_REVOKED:
            return DeviceRevoked(message)
        case ErrorCode.QUOTA_EXCEEDED:
            return QuotaExceeded(message)
        case ErrorCode.CURSOR_RESET:
            return CursorReset(message)
        case ErrorCode.CHUNK_MISMATCH:
            return Corruption(message)
        case ErrorCode.RATE_LIMITED | ErrorCode.BUSY | ErrorCode.STORAGE_FULL | ErrorCode.INTERNAL:
            return ServerBusy(
                message, retry_after_s=patience_of(retry_after_s) or _RETRY_AFTER_S[code]
            )
        case _:
            return RequestRefused(code, message)


def refusal_of_answer(status: int, body: bytes) -> MountError:
    """Return the exception for an HTTP answer that is an error. Pure."""
    try:
        said = msgspec.json.decode(body, type=ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if status in _BUSY_STATUS:
            return ServerBusy(f"the server answered with status {status}")
        return Corruption(f"status {status}, and no reason that a mountfs server would give")
    return refusal_of(said.code, _shown(said.message), said.retry_after_s)


def patience_of(retry_after_s: float) -> float:
    """Return how long to wait when a server asks for `retry_after_s`. Pure."""
    return min(max(retry_after_s, 0.0), RETRY_AFTER_S_MAX)


def _shown(message: str) -> str:
    """Return what a server says, fit for a terminal and a log. Pure."""
    cut = message[:_MESSAGE_LENGTH_MAX]
    return "".join(character if character.isprintable() else " " for character in cut)


@contextmanager
def network_errors() -> Iterator[None]:
    """Translate what httpx, trio and the codecs raise."""
    try:
        yield
    except httpx.TimeoutException as error:
        if isinstance(error, httpx.ConnectTimeout):
            raise Offline("the server does not answer") from error
        raise DeadlinePassed("the server did not answer in time") from error
    except trio.TooSlowError as error:
        raise DeadlinePassed("the server did not answer in time") from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise SetupError(
            f"the server's address is none: {error}",
            remedy="log in with an address like https://drive.example.org",
        ) from error
    except httpx.DecodingError as error:
        raise Corruption(f"the answer cannot be decoded: {error}") from error
    except (httpx.HTTPError, httpx.StreamError, OSError, trio.BrokenResourceError) as error:
        distrust = _distrust_in(error)
        if distrust is not None:
            raise _certificate_error(distrust) from error
        raise Offline(f"the server cannot be reached: {error}") from error
    except (
        MessageMalformed, FrameMalformed, msgspec.DecodeError, UnicodeDecodeError, RecursionError
    ) as error:  # fmt: skip
        raise Corruption(f"the server's answer is not one: {error}") from error


def _distrust_in(error: BaseException) -> ssl.SSLCertVerificationError | None:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return None


def _certificate_error(error: ssl.SSLCertVerificationError) -> SetupError:
    return SetupError(
        f"the server's certificate is not trusted: {error}",
        remedy="name the authority that signed it (--ca-file), "
        "and check the server's name and this machine's clock",
    )
