"""Folders of a hundred thousand names, and files of as many names as may be."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend_server.protocol.limits import LINKS_MAX
from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from fakes.surroundings import lonely_file_system
from mountfs.errors import TooManyLinks
from mountfs.vfs.file_system import DriveFileSystem
from mountfs.vfs.interface import ROOT_INODE, Caller, RenameFlags

ME = Caller(uid=os.getuid(), gid=os.getgid(), pid=1)
FIRST = 1 << 20
NAMES_COUNT = 100_000
PAGE = 3000


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[DriveFileSystem]:
    with lonely_file_system(tmp_path / "drive") as made:
        yield made


def name_of(number: int) -> bytes:
    return b"%06d" % (number * 7919 % NAMES_COUNT)


async def test_a_hundred_thousand_names_are_listed_while_they_change(fs: DriveFileSystem) -> None:
    fs.state.mirror.apply(
        [NodeState(FIRST + n, 1, NodeKind.FILE) for n in range(NAMES_COUNT)],
        [DentryState(1, name_of(n), FIRST + n, 1) for n in range(NAMES_COUNT)],
    )
    handle = await fs.open_folder(ROOT_INODE)
    seen: list[bytes] = []
    gone: set[bytes] = set()
    position = page = 0
    while True:
        entries = await fs.list_folder(handle, position)
        taken = [entry for entry, _ in zip(entries, range(PAGE), strict=False)]
        if not taken:
            break
        seen += [entry.name for entry in taken]
        position = taken[-1].position
        # What was listed, what is to be listed, and new names on both sides.
        for name in (taken[0].name, b"%06d" % (NAMES_COUNT - 1 - page)):
            if name not in gone:
                await fs.remove_file(ROOT_INODE, name)
                gone.add(name)
        await fs.make_node(ROOT_INODE, b"new %d" % page, 0o644, 0, ME)
        moved = b"%06d" % (NAMES_COUNT // 2 + page)
        await fs.rename(ROOT_INODE, moved, ROOT_INODE, b"moved %d" % page, RenameFlags.NONE)
        gone.add(moved)
        page += 1
    assert len(seen) == len(set(seen))
    assert {name_of(n) for n in range(NAMES_COUNT)} - gone <= set(seen)
    await fs.release_folder(handle)


async def test_a_file_has_a_limit_of_names(fs: DriveFileSystem) -> None:
    fs.state.mirror.apply(
        [NodeState(FIRST, 1, NodeKind.FILE)],
        [DentryState(1, b"%d" % n, FIRST, 1) for n in range(LINKS_MAX - 1)],
    )
    inode = (await fs.lookup(ROOT_INODE, b"0")).inode
    assert (await fs.make_link(inode, ROOT_INODE, b"last")).nlink == LINKS_MAX
    with pytest.raises(TooManyLinks):
        await fs.make_link(inode, ROOT_INODE, b"one more")
    await fs.remove_file(ROOT_INODE, b"7")
    assert (await fs.make_link(inode, ROOT_INODE, b"one more")).nlink == LINKS_MAX
