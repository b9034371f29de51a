"""Error code, HTTP status and what to tell a person, in one table.

Every refusal of the server carries one of these codes, in the body
`{"code": ..., "message": ..., "retry_after_s": ...}` of an HTTP answer or in the answer to one
operation of a commit. The client turns a code into its own exception (`mountfs/errors.py`) and
that into an errno (`mountfs/fuse/errno_map.py`); `tests/unit` holds the tables against each other.
"""

from enum import StrEnum
from http import HTTPStatus
from typing import Final

import msgspec


class ErrorCode(StrEnum):
    # the caller's mistake
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    # who are you
    WRONG_PASSWORD = "wrong_password"
    TOKEN_INVALID = "token_invalid"
    TOKEN_EXPIRED = "token_expired"
    DEVICE_REVOKED = "device_revoked"
    FORBIDDEN = "forbidden"
    # try later
    RATE_LIMITED = "rate_limited"
    BUSY = "busy"
    STORAGE_FULL = "storage_full"
    # the drive refuses the change
    QUOTA_EXCEEDED = "quota_exceeded"
    NAME_INVALID = "name_invalid"
    NODE_ID_TAKEN = "node_id_taken"
    PARENT_GONE = "parent_gone"
    NOT_A_FOLDER = "not_a_folder"
    FOLDER_NOT_EMPTY = "folder_not_empty"
    FOLDER_CYCLE = "folder_cycle"
    FOLDER_LINK = "folder_link"
    TOO_MANY_LINKS = "too_many_links"
    CHUNK_MISMATCH = "chunk_mismatch"
    MANIFEST_UNKNOWN = "manifest_unknown"
    # what the feed says instead of changes
    CURSOR_RESET = "cursor_reset"
    # ours
    INTERNAL = "internal"


HTTP_STATUS: Final[dict[ErrorCode, HTTPStatus]] = {
    ErrorCode.MALFORMED: HTTPStatus.BAD_REQUEST,
    ErrorCode.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ErrorCode.WRONG_PASSWORD: HTTPStatus.UNAUTHORIZED,
    ErrorCode.TOKEN_INVALID: HTTPStatus.UNAUTHORIZED,
    ErrorCode.TOKEN_EXPIRED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.DEVICE_REVOKED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.STORAGE_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    ErrorCode.QUOTA_EXCEEDED: HTTPStatus.CONFLICT,
    ErrorCode.NAME_INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.NODE_ID_TAKEN: HTTPStatus.CONFLICT,
    ErrorCode.PARENT_GONE: HTTPStatus.CONFLICT,
    ErrorCode.NOT_A_FOLDER: HTTPStatus.CONFLICT,
    ErrorCode.FOLDER_NOT_EMPTY: HTTPStatus.CONFLICT,
    ErrorCode.FOLDER_CYCLE: HTTPStatus.CONFLICT,
    ErrorCode.FOLDER_LINK: HTTPStatus.CONFLICT,
    ErrorCode.TOO_MANY_LINKS: HTTPStatus.CONFLICT,
    ErrorCode.CHUNK_MISMATCH: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.MANIFEST_UNKNOWN: HTTPStatus.CONFLICT,
    ErrorCode.CURSOR_RESET: HTTPStatus.GONE,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
assert set(HTTP_STATUS) == set(ErrorCode)


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The JSON body of every HTTP answer that is an error."""

    code: ErrorCode
    message: str
    retry_after_s: float = 0.0
