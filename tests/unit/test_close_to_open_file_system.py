"""An open that first catches up: before anything else, bounded, and with the new size."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import NodeKind, NodeState
from mountfs.app.close_to_open import CATCH_UP_S, CloseToOpenFileSystem
from mountfs.state.store import StateStore
from mountfs.vfs.attributes import Ownership
from mountfs.vfs.interface import ROOT_INODE, Caller, Inode

ME = Caller(0, 0, 1)


class NoContent:
    manifests = None

    def open_reader(self) -> None:
        return None


class Kernel:
    def __init__(self) -> None:
        self.forgotten: list[Inode] = []

    def invalidate_content(self, inode: Inode) -> None:
        pass

    def invalidate_attributes(self, inode: Inode) -> None:
        pass

    def invalidate_attributes_now(self, inode: Inode) -> None:
        self.forgotten.append(inode)

    def invalidate_entry(self, parent: Inode, name: bytes) -> None:
        pass


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def filesystem(tmp_path: Path, kernel: Kernel) -> Iterator[CloseToOpenFileSystem]:
    state = StateStore.open(tmp_path, DriveId("0" * 16))
    state.mirror.apply([NodeState(1, 1, NodeKind.FOLDER, mode=0o755)], [])
    made = CloseToOpenFileSystem(
        state,
        NoContent(),  # type: ignore[arg-type]
        kernel,
        ownership=Ownership(),
        is_read_only=False,
        new_node_id=iter(range(1 << 17, 1 << 18)).__next__,
        on_local_change=lambda: None,
    )
    yield made
    state.close()


async def test_what_came_in_while_catching_up_is_what_is_opened(
    filesystem: CloseToOpenFileSystem, kernel: Kernel
) -> None:
    opened, made = await filesystem.create(ROOT_INODE, b"f", 0o644, os.O_WRONLY, ME)
    await filesystem.release(opened.handle)

    async def catch_up() -> None:
        await trio.lowlevel.checkpoint()
        filesystem.table.content_changed(made.inode)

    filesystem.catch_up = catch_up
    opened = await filesystem.open(made.inode, os.O_RDONLY, ME)
    assert not opened.keep_cache
    assert kernel.forgotten == [made.inode]


async def test_a_server_that_does_not_answer_holds_an_open_up_for_a_moment(
    filesystem: CloseToOpenFileSystem, autojump_clock: trio.testing.MockClock
) -> None:
    opened, made = await filesystem.create(ROOT_INODE, b"f", 0o644, os.O_WRONLY, ME)
    await filesystem.release(opened.handle)
    filesystem.catch_up = trio.sleep_forever
    began = trio.current_time()
    await filesystem.open(made.inode, os.O_RDONLY, ME)
    assert trio.current_time() - began == CATCH_UP_S
