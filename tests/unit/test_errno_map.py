"""The error tree and errno: complete, and never ENOSYS."""

import errno
import inspect

import pytest

from backend_server.protocol.errors import ErrorCode
from mountfs import errors
from mountfs.fuse.errno_map import errno_of

TREE = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.MountError)
]


def _made(kind: type[errors.MountError]) -> errors.MountError:
    if kind is errors.RequestRefused:
        return errors.RequestRefused(ErrorCode.INTERNAL, "refused")
    return kind("why")


@pytest.mark.parametrize("kind", TREE)
def test_every_error_has_an_errno_that_the_kernel_does_not_remember(
    kind: type[errors.MountError],
) -> None:
    found = errno_of(_made(kind))
    assert found is not None
    assert found in errno.errorcode
    assert found != errno.ENOSYS


@pytest.mark.parametrize("code", ErrorCode)
def test_every_refusal_has_an_errno(code: ErrorCode) -> None:
    found = errno_of(errors.RequestRefused(code, "refused"))
    assert found in errno.errorcode
    assert found != errno.ENOSYS


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.NoSuchEntry(), errno.ENOENT),
        (errors.DirectoryNotEmpty(), errno.ENOTEMPTY),
        (errors.Offline(), errno.ENETUNREACH),
        (errors.DeadlinePassed(), errno.ETIMEDOUT),
        (errors.StagingFull(), errno.ENOSPC),
        (errors.QuotaExceeded(), errno.EDQUOT),
        (errors.TokenExpired(), errno.EACCES),
        (errors.Corruption(), errno.EIO),
        (errors.RequestRefused(ErrorCode.QUOTA_EXCEEDED, ""), errno.EDQUOT),
        (ExceptionGroup("", [errors.NoSuchEntry()]), errno.ENOENT),
        (ExceptionGroup("", [ExceptionGroup("", [errors.Offline()])]), errno.ENETUNREACH),
        (ValueError("a bug"), None),
        (ExceptionGroup("", [errors.NoSuchEntry(), ValueError("a bug")]), None),
    ],
)
def test_what_a_program_is_told(error: BaseException, expected: int | None) -> None:
    assert errno_of(error) == expected
