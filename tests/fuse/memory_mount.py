"""Mounts a `MemoryFileSystem` on a folder, for tests of the adapter: `memory_mount.py DIR`.

Prints `ready` when programs may use the mount, and obeys commands, one a line, until its input
ends:

    stir N      tell the kernel N times to forget everything
    stall       hold up the event loop for STALL_S again and again from now on
    counts      print how many nodes live and how many lookups came
"""

import sys
import time
from pathlib import Path
from typing import Final

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from memory_file_system import MemoryFileSystem
from mountfs.fuse.invalidator import Invalidator
from mountfs.fuse.mounting import prepare_mount_point
from mountfs.fuse.session import FuseSession, MountSettings, PyfuseNotifications
from mountfs.vfs.interface import ROOT_INODE, Attributes, Inode

STALL_S: Final = 0.05


class CountingFileSystem(MemoryFileSystem):
    """Counts lookups; the name `broken` is a bug."""

    lookups_count = 0

    async def lookup(self, parent: Inode, name: bytes) -> Attributes:
        self.lookups_count += 1
        if name == b"broken":
            raise ZeroDivisionError
        return await super().lookup(parent, name)


async def _stir(invalidator: Invalidator, count: int) -> None:
    for _ in range(count):
        for inode in range(1, 50):
            invalidator.invalidate_content(Inode(inode))
            invalidator.invalidate_attributes(Inode(inode))
        for number in range(50):
            invalidator.invalidate_entry(ROOT_INODE, b"f%d" % number)
        await trio.sleep(0.001)
    while invalidator.pending_count:  # noqa: ASYNC110 - it tells nobody
        await trio.sleep(0.01)


async def _stall() -> None:
    while True:
        time.sleep(STALL_S)  # noqa: ASYNC251 - that is the point
        await trio.lowlevel.checkpoint()


async def _main(folder: Path) -> None:
    filesystem = CountingFileSystem()
    invalidator = Invalidator(PyfuseNotifications())
    session = FuseSession(
        filesystem,
        MountSettings(prepare_mount_point(folder)),
        invalidator,
        on_mounted=lambda: print("ready", flush=True),
    )

    async def obey() -> None:
        async for line in trio.wrap_file(sys.stdin):
            match line.split():
                case ["stir", count]:
                    await _stir(invalidator, int(count))
                case ["stall"]:
                    nursery.start_soon(_stall)
            print(filesystem.node_count, filesystem.lookups_count, flush=True)
        session.stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(obey)
        await session.serve()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    trio.run(_main, Path(sys.argv[1]))
