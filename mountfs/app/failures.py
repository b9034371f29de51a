"""What went wrong, for a person: which error counts, its remedy, and the exit code.

Exit codes: 0 done · 1 refused or failed · 2 usage · 3 the server cannot be reached.
"""

from typing import Final

from mountfs import errors

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3

_REMEDY: Final[dict[type[BaseException], str]] = {
    errors.WrongPassword: "check the address and the password",
    errors.TokenExpired: "the login expired, log in again: mountfs login URL --email EMAIL",
    errors.DeviceRevoked: "the device was revoked, log in again: mountfs login URL --email EMAIL",
    errors.NotLoggedIn: "log in: mountfs login URL --email EMAIL",
    errors.ServerBusy: "try again in a moment",
    errors.Unavailable: "check the network and that the server runs; `mountfs doctor` tells more",
    errors.QuotaExceeded: "remove something, or ask the server's admin for more",
    errors.LocalStorageFull: "free some disk space on this device",
    errors.StateDamaged: "unmount, then see what is wrong: mountfs check",
    errors.StagedBytesLost: "unmount, then see what is left: mountfs check",
    errors.LocalStorageError: "check this device's disk",
    errors.Corruption: "is this address a mountfs server, and this client up to date?",
}


def first_leaf(error: BaseException) -> BaseException:
    """Return the error that counts: of a group the first of the tree, else its first. Pure."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [first_leaf(inner) for inner in error.exceptions]
    known = [leaf for leaf in leaves if isinstance(leaf, errors.MountError)]
    return (known or leaves)[0]


def remedy_of(error: errors.MountError) -> str:
    """Return what a person can do about it; empty when nothing is known. Pure."""
    if isinstance(error, errors.SetupError):
        return error.remedy
    for ancestor in type(error).__mro__:
        if ancestor in _REMEDY:
            return _REMEDY[ancestor]
    return ""


def exit_code_of(error: errors.MountError) -> int:
    """Return how a command that failed with `error` ends. Pure."""
    if isinstance(error, errors.Unavailable) and not isinstance(error, errors.ServerBusy):
        return EXIT_UNREACHABLE
    return EXIT_FAILED


def message_of(error: errors.MountError) -> str:
    """Return one line that says what is wrong. Pure."""
    text = " ".join(str(error).split())
    return text or type(error).__name__
