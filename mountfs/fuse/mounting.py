"""Is this folder fit to be mounted on, and how is it unmounted.

After a SIGKILL a mount point answers ENOTCONN to everybody, until somebody unmounts it lazily;
`prepare_mount_point` is that somebody. Works without pyfuse3.
"""

import errno
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Final

from mountfs.errors import SetupError
from mountfs.fuse.mount_table import find_mount

KIND: Final = "fuse.mountfs"
_SUBTYPE: Final = KIND.removeprefix("fuse.")
UNMOUNT_TIMEOUT_S: Final = 20.0
ANSWER_TIMEOUT_S: Final = 5.0


class MountBusy(SetupError):
    """A program holds a file or a folder of the mount open."""


def resolve_mount_point(folder: Path) -> Path:
    """Return `folder` absolute and without links, without asking what is mounted on it."""
    absolute = Path(os.path.abspath(folder))  # noqa: PTH100 - Path.absolute keeps ".."
    if absolute == absolute.parent:
        return absolute
    try:
        # The folder itself may be a link, but a dead mount cannot be asked.
        is_link = absolute.is_symlink()
    except OSError:
        is_link = False
    if is_link:
        return Path(os.path.realpath(absolute))
    return Path(os.path.realpath(absolute.parent)) / absolute.name


def prepare_mount_point(folder: Path) -> Path:
    """Return where to mount, an empty folder of ours. Removes what a killed daemon left there.

    Raises:
        SetupError: Missing, no folder, not empty, not ours, or already mounted on.
    """
    mount_point = resolve_mount_point(folder)
    if find_mount(mount_point) is not None:
        _clear_if_stale(mount_point)
    try:
        names = os.listdir(mount_point)  # noqa: PTH208 - an error names its errno
    except FileNotFoundError:
        raise SetupError(
            f"{mount_point} does not exist", remedy=f"mkdir -p {mount_point}"
        ) from None
    except NotADirectoryError:
        raise SetupError(f"{mount_point} is not a folder", remedy="name an empty folder") from None
    except OSError as error:
        raise SetupError(
            f"{mount_point} cannot be read: {error.strerror}",
            remedy="name an empty folder of yours",
        ) from error
    if names:
        raise SetupError(
            f"{mount_point} is not empty",
            remedy="name an empty folder, or move its content away first",
        )
    if not os.access(mount_point, os.W_OK):
        raise SetupError(
            f"{mount_point} is not yours to mount on", remedy="name a folder that you may write"
        )
    return mount_point


def is_stale(mount_point: Path) -> bool | None:
    """Return whether a dead daemon is behind `mount_point`; None when it does not answer at all.

    Waits at most ANSWER_TIMEOUT_S.
    """
    answers: list[bool] = []

    def ask() -> None:
        try:
            # Not stat: the kernel remembers attributes, also those of a dead file system.
            os.statvfs(mount_point)
            answers.append(False)
        except OSError as error:
            answers.append(error.errno == errno.ENOTCONN)

    # A thread of its own: nothing can interrupt a program that waits for a dead file system.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_TIMEOUT_S)
    return answers[0] if answers else None


def mount_options(*, is_read_only: bool, allow_other: bool) -> set[str]:
    """Return what to mount with. Pure.

    Without writeback cache (the kernel would ignore the server's sizes and times), without
    direct I/O (no shared mmap). The kernel checks permissions by the attributes that we give.
    """
    options = {"default_permissions", "nosuid", "nodev", "fsname=mountfs", f"subtype={_SUBTYPE}"}
    if is_read_only:
        options.add("ro")
    if allow_other:
        options.add("allow_other")
    return options


def unmount(mount_point: Path, *, lazily: bool = False) -> None:
    """Unmount. Blocks; not for the event loop of the daemon, which must answer meanwhile.

    Args:
        lazily: Take it out of sight now, even if files are open.

    Raises:
        MountBusy: Files are open (never when `lazily`).
        SetupError: Not mounted, or not allowed.
    """
    program = shutil.which("fusermount3") or shutil.which("fusermount")
    command = [program, "-u"] if program else ["umount"]
    if lazily:
        command.append("-z" if program else "-l")
    try:
        done = subprocess.run(
            [*command, "--", str(mount_point)],
            capture_output=True,
            text=True,
            timeout=UNMOUNT_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"unmounting {mount_point} took more than {UNMOUNT_TIMEOUT_S:.0f} s",
            remedy=f"fusermount3 -uz {mount_point}",
        ) from None
    if done.returncode == 0:
        return
    reason = done.stderr.strip().removeprefix("fusermount3: ") or "unmounting failed"
    if "busy" in reason.lower():
        raise MountBusy(f"{mount_point} is in use", remedy="close the files that are open there")
    raise SetupError(reason, remedy=f"fusermount3 -uz {mount_point}")


def _clear_if_stale(mount_point: Path) -> None:
    match is_stale(mount_point):
        case True:
            unmount(mount_point, lazily=True)
        case False:
            raise SetupError(
                f"{mount_point} is already mounted", remedy=f"mountfs umount {mount_point}"
            )
        case None:
            raise SetupError(
                f"{mount_point} is mounted and does not answer",
                remedy=f"fusermount3 -uz {mount_point}",
            )
