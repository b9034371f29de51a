"""What can go wrong in the client, by who can do something about it.

MountError
+ FileSystemError            the calling program asked for the impossible
  - NoSuchEntry  EntryExists  NotADirectory  IsADirectory  DirectoryNotEmpty  NameTooLong
  - OperationNotPermitted  AccessDenied  CrossDeviceLink  InvalidArgument  ReadOnlyMount
  - BadHandle  FileTooLarge  NotSupported  NoAttribute  AttributesFull  TooManyLinks
+ Unavailable                try again later; nothing is lost
  - Offline  ServerBusy(retry_after_s)  DeadlinePassed
+ LocalStorageError          this device's disk
  - LocalStorageFull  LocalStorageBroken  StagingFull  StagedBytesLost  StateDamaged
+ Refused                    the server refused, and will again
  - RequestRefused(code)  QuotaExceeded
  + NotLoggedIn              the device must log in (again)
    - WrongPassword  TokenInvalid  TokenExpired  DeviceRevoked
+ CursorReset                the feed cannot continue from our cursor: build a new mirror
+ Corruption                 bytes do not match their digest, or an answer is not one
+ SetupError(remedy)         a person must change something on this machine
"""

from backend_server.protocol.errors import ErrorCode


class MountError(Exception):
    """Root of the tree."""


class FileSystemError(MountError):
    """The calling program asked for the impossible."""


class NoSuchEntry(FileSystemError): ...


class EntryExists(FileSystemError): ...


class NotADirectory(FileSystemError): ...


class IsADirectory(FileSystemError): ...


class DirectoryNotEmpty(FileSystemError): ...


class NameTooLong(FileSystemError): ...


class OperationNotPermitted(FileSystemError): ...


class AccessDenied(FileSystemError): ...


class CrossDeviceLink(FileSystemError): ...


class InvalidArgument(FileSystemError): ...


class ReadOnlyMount(FileSystemError): ...


class BadHandle(FileSystemError): ...


class FileTooLarge(FileSystemError): ...


class NotSupported(FileSystemError): ...


class NoAttribute(FileSystemError): ...


class AttributesFull(FileSystemError): ...


class TooManyLinks(FileSystemError): ...


class Unavailable(MountError):
    """Try again later; nothing is lost."""


class Offline(Unavailable):
    """The server cannot be reached."""


class ServerBusy(Unavailable):
    """The server asks for patience."""

    def __init__(self, message: str = "the server is busy", *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlinePassed(Unavailable):
    """An answer did not come in time."""


class LocalStorageError(MountError):
    """This device's disk."""


class LocalStorageFull(LocalStorageError): ...


class StagingFull(LocalStorageFull):
    """What is written and not yet on the server fills its share of the disk."""


class LocalStorageBroken(LocalStorageError): ...


class StateDamaged(LocalStorageBroken):
    """The local state contradicts itself: no trouble of the disk that may pass."""


class StagedBytesLost(LocalStorageBroken):
    """Bytes that were written here, and are nowhere else, are gone or not what was written."""


class Refused(MountError):
    """The server refused, and will again."""


class RequestRefused(Refused):
    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class QuotaExceeded(Refused): ...


class NotLoggedIn(Refused):
    """The device must log in (again)."""


class WrongPassword(NotLoggedIn): ...


class TokenInvalid(NotLoggedIn): ...


class TokenExpired(NotLoggedIn): ...


class DeviceRevoked(NotLoggedIn): ...


class CursorReset(MountError):
    """The feed cannot continue from our cursor: build a new mirror."""


class Corruption(MountError):
    """Bytes do not match their digest, or an answer is not one."""


class SetupError(MountError):
    """A person must change something on this machine; `remedy` says what."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
