"""Every code of the server and every failure of the network has one place in our own tree."""

import ssl

import httpx
import msgspec
import pytest
import trio

from backend_server.protocol.encoding import MessageMalformed
from backend_server.protocol.errors import HTTP_STATUS, ErrorBody, ErrorCode
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
from mountfs.transport.refusals import network_errors, refusal_of, refusal_of_answer

EXPECTED: dict[ErrorCode, type[MountError]] = {
    ErrorCode.MALFORMED: RequestRefused,
    ErrorCode.TOO_LARGE: RequestRefused,
    ErrorCode.NOT_FOUND: RequestRefused,
    ErrorCode.METHOD_NOT_ALLOWED: RequestRefused,
    ErrorCode.WRONG_PASSWORD: WrongPassword,
    ErrorCode.TOKEN_INVALID: TokenInvalid,
    ErrorCode.TOKEN_EXPIRED: TokenExpired,
    ErrorCode.DEVICE_REVOKED: DeviceRevoked,
    ErrorCode.FORBIDDEN: RequestRefused,
    ErrorCode.RATE_LIMITED: ServerBusy,
    ErrorCode.BUSY: ServerBusy,
    ErrorCode.STORAGE_FULL: ServerBusy,
    ErrorCode.QUOTA_EXCEEDED: QuotaExceeded,
    ErrorCode.NAME_INVALID: RequestRefused,
    ErrorCode.NODE_ID_TAKEN: RequestRefused,
    ErrorCode.PARENT_GONE: RequestRefused,
    ErrorCode.NOT_A_FOLDER: RequestRefused,
    ErrorCode.FOLDER_NOT_EMPTY: RequestRefused,
    ErrorCode.FOLDER_CYCLE: RequestRefused,
    ErrorCode.FOLDER_LINK: RequestRefused,
    ErrorCode.TOO_MANY_LINKS: RequestRefused,
    ErrorCode.CHUNK_MISMATCH: Corruption,
    ErrorCode.MANIFEST_UNKNOWN: RequestRefused,
    ErrorCode.CURSOR_RESET: CursorReset,
    ErrorCode.INTERNAL: ServerBusy,
}


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_is_mapped(code: ErrorCode) -> None:
    error = refusal_of(code, "because")
    assert type(error) is EXPECTED[code]
    assert str(error) == "because"
    body = msgspec.json.encode(ErrorBody(code, "because"))
    assert type(refusal_of_answer(HTTP_STATUS[code], body)) is EXPECTED[code]
    if isinstance(error, RequestRefused):
        assert error.code is code


def test_the_server_says_how_long_to_wait() -> None:
    error = refusal_of(ErrorCode.BUSY, "later", 7.5)
    assert isinstance(error, ServerBusy)
    assert error.retry_after_s == 7.5
    patient = refusal_of(ErrorCode.BUSY, "later")
    assert isinstance(patient, ServerBusy)
    assert patient.retry_after_s > 0


@pytest.mark.parametrize(
    ("status", "expected"),
    [(502, ServerBusy), (503, ServerBusy), (504, ServerBusy), (404, Corruption), (302, Corruption)],
)
def test_an_answer_that_is_not_ours(status: int, expected: type[MountError]) -> None:
    assert type(refusal_of_answer(status, b"<html>nginx</html>")) is expected


def _from(cause: BaseException) -> Exception:
    try:
        try:
            raise cause
        except BaseException as error:
            raise httpx.ConnectError("tls") from error
    except httpx.ConnectError as error:
        return error


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (httpx.ConnectError("refused"), Offline),
        (httpx.ConnectTimeout("slow"), Offline),
        (httpx.ReadTimeout("slow"), DeadlinePassed),
        (httpx.WriteTimeout("slow"), DeadlinePassed),
        (httpx.PoolTimeout("full"), DeadlinePassed),
        (httpx.ReadError("reset"), Offline),
        (httpx.WriteError("reset"), Offline),
        (httpx.RemoteProtocolError("closed"), Offline),
        (httpx.DecodingError("zstd"), Corruption),
        (httpx.UnsupportedProtocol("ftp"), SetupError),
        (httpx.InvalidURL("?"), SetupError),
        (trio.TooSlowError(), DeadlinePassed),
        (trio.BrokenResourceError(), Offline),
        (OSError("no route"), Offline),
        (MessageMalformed("?"), Corruption),
        (_from(ssl.SSLCertVerificationError("self-signed")), SetupError),
        (_from(ConnectionResetError()), Offline),
    ],
)
def test_every_failure_of_the_network_is_translated(
    raised: Exception, expected: type[MountError]
) -> None:
    with pytest.raises(MountError) as caught, network_errors():
        raise raised
    assert type(caught.value) is expected


def test_distrust_names_a_remedy() -> None:
    with pytest.raises(SetupError) as caught, network_errors():
        raise _from(ssl.SSLCertVerificationError("self-signed"))
    assert "--ca-file" in caught.value.remedy
