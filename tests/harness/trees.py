"""What a folder holds, as a value, to compare a mount with a plain folder or with another mount."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from harness.waiting import wait_until

T = TypeVar("T")

_PASSING_ERRORS: Final = (errno.ENOENT, errno.ENETUNREACH)
READ_SIZE_BYTES: Final = 1 << 20
DIFFERENCES_SHOWN_MAX: Final = 20


@dataclass(frozen=True)
class Entry:
    """One name below the root. `content` is a digest (files) or the target (symlinks).

    `link_group` is the first path, in order, that names the same node; a file of one link names
    itself.
    """

    kind: str
    mode: int
    size_bytes: int
    mtime_ns: int
    content: str
    link_group: str
    owner: tuple[int, int]


Tree = dict[str, Entry]
"""Path below the root to what is there. Names that are no text come as Python's file system
encoding has them, without loss."""

_KINDS: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


def _digest_of(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while data := file.read(READ_SIZE_BYTES):
            digest.update(data)
    return digest.hexdigest()


def read_tree(root: Path, *, with_times: bool = True) -> Tree:
    """Return everything below `root`, read through ordinary system calls.

    Without `with_times` every mtime is 0: for runs that stamp files with the current time. The
    size of a folder is always 0, since every file system has its own idea of it.
    """
    tree: Tree = {}
    first_path_of: dict[int, str] = {}
    for folder, folder_names, file_names in os.walk(root, onerror=_raise):
        folder_names.sort()
        for name in sorted(folder_names + file_names):
            path = Path(folder, name)
            found = path.lstat()
            kind = _KINDS[stat.S_IFMT(found.st_mode)]
            below = str(path.relative_to(root))
            content = ""
            if kind == "file":
                content = _digest_of(path)
            elif kind == "symlink":
                content = str(path.readlink())
            tree[below] = Entry(
                kind=kind,
                mode=stat.S_IMODE(found.st_mode),
                size_bytes=0 if kind == "folder" else found.st_size,
                mtime_ns=found.st_mtime_ns if with_times else 0,
                content=content,
                link_group=below
                if kind == "folder"
                else first_path_of.setdefault(found.st_ino, below),
                owner=(found.st_uid, found.st_gid),
            )
    return tree


def _raise(error: OSError) -> None:
    raise error


def names_in(folder: Path) -> list[str]:
    """Return the names directly in `folder`, sorted."""
    return sorted(path.name for path in folder.iterdir())


def without_folder_times(tree: Tree) -> Tree:
    """Return `tree` with the mtime of every folder set to 0. Pure."""
    return {
        path: replace(entry, mtime_ns=0) if entry.kind == "folder" else entry
        for path, entry in tree.items()
    }


def differences(expected: Tree, found: Tree) -> list[str]:
    """Return what differs, a line a path, at most DIFFERENCES_SHOWN_MAX. Pure."""
    lines = []
    for path in sorted(expected.keys() | found.keys()):
        wanted, got = expected.get(path), found.get(path)
        if wanted != got:
            lines.append(f"{path!r}: expected {wanted}, found {got}")
    if len(lines) > DIFFERENCES_SHOWN_MAX:
        more = len(lines) - DIFFERENCES_SHOWN_MAX
        lines[DIFFERENCES_SHOWN_MAX:] = [f"… and {more} more"]
    return lines


def assert_same_tree(expected: Tree, found: Tree) -> None:
    lines = differences(expected, found)
    assert not lines, "the trees differ:\n" + "\n".join(lines)


def assert_become_same(
    read: Callable[[], Tree], read_other: Callable[[], Tree], *, deadline_s: float
) -> None:
    """Read both again and again until they are the same.

    A path that goes away while it is read, or content that cannot be had for a moment because the
    server was away, only means that this reading is not the last.
    """
    last: list[str] = ["never read"]

    def is_same() -> bool:
        try:
            last[:] = differences(read(), read_other())
        except OSError as error:
            if error.errno not in _PASSING_ERRORS:
                raise
            last[:] = [str(error)]
        return not last

    try:
        wait_until(is_same, deadline_s=deadline_s, what="the trees are the same")
    except AssertionError as error:
        raise AssertionError(f"{error}\n" + "\n".join(last)) from None


def same_as_on_plain_folder(
    run: Callable[[Path], T], *, plain: Path, mounted: Path, with_times: bool = False
) -> T:
    """Run the same on a plain folder and on a mount; hold the answers and the trees together.

    The plain folder goes first: it is the oracle. With times, what `run` leaves directly in the
    folder must have times that it set itself. Returns the answer.
    """
    plain.mkdir(parents=True)
    mounted.mkdir(parents=True)
    expected = run(plain)
    found = run(mounted)
    assert found == expected
    assert_same_tree(
        read_tree(plain, with_times=with_times), read_tree(mounted, with_times=with_times)
    )
    return found
