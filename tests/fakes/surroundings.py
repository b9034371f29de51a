"""What a file system needs around it where there is no server and no kernel."""

from mountfs.vfs.interface import Inode


class NothingCommitted:
    """The content of a drive on which nothing was ever committed: nobody may ask for it."""

    @property
    def manifests(self) -> "NothingCommitted":
        return self

    def open_reader(self) -> "NothingCommitted":
        return self

    async def load(self, *_: object) -> None:
        raise AssertionError("there is no manifest")

    async def read(self, *_: object) -> bytes:
        raise AssertionError("there is no clean byte")


class DeafKernel:
    def invalidate_content(self, inode: Inode) -> None:
        pass

    def invalidate_attributes(self, inode: Inode) -> None:
        pass

    def invalidate_entry(self, parent: Inode, name: bytes) -> None:
        pass
