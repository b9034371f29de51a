"""A file that a program has open."""

import os
from math import inf

from mountfs.vfs.content_io import CleanReader
from mountfs.vfs.interface import Caller, Inode


class OpenFile:
    __slots__ = (
        "given_up_at_s", "inode", "is_append", "is_noticed", "is_privileged", "is_reader",
        "is_writer", "reader",
    )  # fmt: skip

    def __init__(self, inode: Inode, flags: int, caller: Caller, reader: CleanReader) -> None:
        access = flags & os.O_ACCMODE
        self.inode = inode
        self.is_reader = access in (os.O_RDONLY, os.O_RDWR)
        self.is_writer = access in (os.O_WRONLY, os.O_RDWR)
        self.is_append = bool(flags & os.O_APPEND)
        self.is_noticed = not flags & os.O_NOATIME
        self.is_privileged = caller.is_privileged
        self.reader = reader
        self.given_up_at_s = -inf
        """When a read last waited for the server in vain, in trio's time."""
