"""`--consistency=close-to-open`: opening a file sees every change whose close came before.

Costs a round trip or two an open. While the server is away, or slower than CATCH_UP_S, files open
as this device knows them.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from mountfs.vfs.file_system import DriveFileSystem
from mountfs.vfs.interface import Caller, Inode, OpenedFile

CATCH_UP_S: Final = 5.0


class CloseToOpenFileSystem(DriveFileSystem):
    """A drive whose `open` first catches up with the server."""

    catch_up: Callable[[], Awaitable[None]]

    async def open(self, inode: Inode, flags: int, caller: Caller) -> OpenedFile:
        with trio.move_on_after(CATCH_UP_S):
            await self.catch_up()
        opened = await super().open(inode, flags, caller)
        if not opened.keep_cache:
            # The push is on its way, but this reader must not see the old size before it arrives.
            self.kernel.invalidate_attributes_now(inode)
        return opened
