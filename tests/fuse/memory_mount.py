"""Mounts a `MemoryFileSystem` on a folder: `memory_mount.py DIR [stir]`.

Prints `ready` when programs may use the mount. Reads commands, one a line, from standard input:
`stir N` notifies the kernel N times about everything it knows, `count` prints how many nodes
live, `slow S` makes each lookup of the name `slow` wait, the end of input stops it.
"""

import sys
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from memory_file_system import MemoryFileSystem
from mountfs.fuse.invalidator import Invalidator
from mountfs.fuse.mounting import prepare_mount_point
from mountfs.fuse.session import FuseSession, MountSettings, PyfuseNotifications
from mountfs.vfs.interface import ROOT_INODE, Attributes, Inode


class SlowFileSystem(MemoryFileSystem):
    """One name whose lookup waits for as long as the test likes."""

    async def lookup(self, parent: Inode, name: bytes) -> Attributes:
        if name.startswith(b"slow-"):
            await trio.sleep(float(name.removeprefix(b"slow-")))
        if name == b"broken":
            raise ZeroDivisionError
        if name == b"broken-group":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.lookup, parent, b"absent")
        return await super().lookup(parent, name)


async def main(folder: Path) -> None:
    filesystem = SlowFileSystem()
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
                    for _ in range(int(count)):
                        for inode in range(1, 50):
                            invalidator.invalidate_content(Inode(inode))
                        for name in range(50):
                            invalidator.invalidate_entry(ROOT_INODE, b"f%d" % name)
                        await trio.sleep(0.001)
                    while invalidator.pending_count:  # noqa: ASYNC110 - it tells nobody
                        await trio.sleep(0.01)
                case ["count"]:
                    pass
            print(f"done {filesystem.node_count}", flush=True)
        session.stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(obey)
        await session.serve()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    trio.run(main, Path(sys.argv[1]))
