"""The calls of xattr(7), for mounts with `--xattrs`.

Apart from the others, since a mount that has them pays for them: each write(2) then costs one
request more, for the kernel asks for `security.capability` first.
"""

from collections.abc import Sequence

import pyfuse3

from mountfs.fuse.operations import DEADLINE_S, Operations, handler
from mountfs.vfs.interface import Inode


class OperationsWithXattrs(Operations):
    """Operations of a mount that keeps `user.*` attributes."""

    @handler(DEADLINE_S)
    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        return await self.filesystem.get_xattr(Inode(inode), name)

    @handler(DEADLINE_S)
    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        return await self.filesystem.list_xattrs(Inode(inode))

    @handler(DEADLINE_S)
    async def setxattr(
        self, inode: int, name: bytes, value: bytes, ctx: pyfuse3.RequestContext
    ) -> None:
        await self.filesystem.set_xattr(Inode(inode), name, value)

    @handler(DEADLINE_S)
    async def removexattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        await self.filesystem.remove_xattr(Inode(inode), name)
