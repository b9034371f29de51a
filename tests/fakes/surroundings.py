"""What a file system needs around it where there is no server and no kernel."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import NodeKind, NodeState
from mountfs.state.store import StateStore
from mountfs.vfs.attributes import Ownership
from mountfs.vfs.file_system import DriveFileSystem
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

    def invalidate_attributes_now(self, inode: Inode) -> None:
        pass

    def invalidate_entry(self, parent: Inode, name: bytes) -> None:
        pass


@contextmanager
def lonely_file_system(folder: Path) -> Iterator[DriveFileSystem]:
    """The real file system of an empty drive, on a state in `folder`."""
    state = StateStore.open(folder, DriveId("0" * 16))
    state.mirror.apply([NodeState(1, 1, NodeKind.FOLDER, mode=0o755)], [])
    try:
        yield file_system_on(state)
    finally:
        state.close()


def file_system_on(state: StateStore) -> DriveFileSystem:
    """The real file system on a state of which no committed byte is asked for."""
    ids = iter(range(1 << 17, 1 << 30))
    return DriveFileSystem(
        state,
        NothingCommitted(),  # type: ignore[arg-type]
        DeafKernel(),
        ownership=Ownership(),
        is_read_only=False,
        new_node_id=lambda: next(ids),
        on_local_change=lambda: None,
    )
