"""The error tree of the client as errno.

Never ENOSYS: the kernel takes it as "never ask this again" and stops asking for the whole mount.
"""

import errno
from typing import Final

from backend_server.protocol.errors import ErrorCode
from mountfs import errors

_ERRNO: Final[dict[type[BaseException], int]] = {
    errors.NoSuchEntry: errno.ENOENT,
    errors.EntryExists: errno.EEXIST,
    errors.NotADirectory: errno.ENOTDIR,
    errors.IsADirectory: errno.EISDIR,
    errors.DirectoryNotEmpty: errno.ENOTEMPTY,
    errors.NameTooLong: errno.ENAMETOOLONG,
    errors.OperationNotPermitted: errno.EPERM,
    errors.AccessDenied: errno.EACCES,
    errors.CrossDeviceLink: errno.EXDEV,
    errors.InvalidArgument: errno.EINVAL,
    errors.ReadOnlyMount: errno.EROFS,
    errors.BadHandle: errno.EBADF,
    errors.FileTooLarge: errno.EFBIG,
    errors.NotSupported: errno.EOPNOTSUPP,
    errors.NoAttribute: errno.ENODATA,
    errors.AttributesFull: errno.ENOSPC,
    errors.TooManyLinks: errno.EMLINK,
    errors.FileSystemError: errno.EINVAL,
    errors.Offline: errno.ENETUNREACH,
    errors.ServerBusy: errno.EBUSY,
    errors.DeadlinePassed: errno.ETIMEDOUT,
    errors.Unavailable: errno.ETIMEDOUT,
    errors.LocalStorageFull: errno.ENOSPC,
    errors.LocalStorageError: errno.EIO,
    errors.QuotaExceeded: errno.EDQUOT,
    errors.NotLoggedIn: errno.EACCES,
    errors.Refused: errno.EACCES,
    errors.Corruption: errno.EIO,
    errors.MountError: errno.EIO,
}
"""A class that is missing here is mapped as its nearest ancestor."""

_ERRNO_OF_CODE: Final[dict[ErrorCode, int]] = {
    ErrorCode.NOT_FOUND: errno.ENOENT,
    ErrorCode.FORBIDDEN: errno.EACCES,
    ErrorCode.TOO_LARGE: errno.EFBIG,
    ErrorCode.STORAGE_FULL: errno.ENOSPC,
    ErrorCode.QUOTA_EXCEEDED: errno.EDQUOT,
    ErrorCode.NAME_INVALID: errno.EINVAL,
    ErrorCode.PARENT_GONE: errno.ENOENT,
    ErrorCode.NOT_A_FOLDER: errno.ENOTDIR,
    ErrorCode.FOLDER_NOT_EMPTY: errno.ENOTEMPTY,
    ErrorCode.FOLDER_CYCLE: errno.EINVAL,
    ErrorCode.FOLDER_LINK: errno.EPERM,
    ErrorCode.TOO_MANY_LINKS: errno.EMLINK,
    ErrorCode.RATE_LIMITED: errno.EBUSY,
    ErrorCode.BUSY: errno.EBUSY,
}


def errno_of(error: BaseException) -> int | None:
    """Return the errno for `error`, or None for an error outside the tree (a bug). Pure.

    A group counts as its first leaf when all its leaves belong to the tree.
    """
    if isinstance(error, BaseExceptionGroup):
        leaves = [errno_of(leaf) for leaf in error.exceptions]
        return None if None in leaves else leaves[0]
    if isinstance(error, errors.RequestRefused):
        return _ERRNO_OF_CODE.get(error.code, errno.EIO)
    for ancestor in type(error).__mro__:
        if ancestor in _ERRNO:
            return _ERRNO[ancestor]
    return None
