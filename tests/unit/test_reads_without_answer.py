"""A server that does not answer: how long a program waits for bytes that are not here."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from backend_server.protocol.identity import DriveId, ManifestId
from backend_server.protocol.manifests import Entry
from backend_server.protocol.tree_messages import DentryState, NodeKind, NodeState
from fakes.surroundings import DeafKernel
from mountfs.core.content import ContentSource, Manifest
from mountfs.errors import DeadlinePassed
from mountfs.state.store import StateStore
from mountfs.vfs.attributes import Ownership
from mountfs.vfs.content_io import GIVEN_UP_S, READ_DEADLINE_S
from mountfs.vfs.file_system import DriveFileSystem
from mountfs.vfs.interface import Caller, Handle, Inode

FILE, SIZE, HERE = 2, 2000, 1000
MANIFEST = Manifest(ManifestId(b"m" * 32), [Entry(b"c" * 32, SIZE)])  # type: ignore[arg-type]


class SilentContent:
    """The first bytes of the file are here; the rest, nobody brings."""

    def __init__(self) -> None:
        self.manifest_takes_s = 0.0

    @property
    def manifests(self) -> "SilentContent":
        return self

    def open_reader(self) -> "SilentContent":
        return self

    async def load(self, *_: object) -> Manifest:
        if self.manifest_takes_s:
            await trio.sleep(self.manifest_takes_s)
        return MANIFEST

    async def read(self, source: ContentSource, offset: int, length: int) -> bytes:
        if offset + length <= HERE:
            return bytes(length)
        with trio.move_on_after(READ_DEADLINE_S):
            await trio.sleep_forever()
        raise DeadlinePassed("nobody brings it")


@pytest.fixture
def content() -> SilentContent:
    return SilentContent()


@pytest.fixture
def fs(tmp_path: Path, content: SilentContent) -> Iterator[DriveFileSystem]:
    state = StateStore.open(tmp_path, DriveId("0" * 16))
    file = NodeState(
        FILE, 1, NodeKind.FILE, mode=0o644, size_bytes=SIZE, revision=1,
        manifest_id=MANIFEST.manifest_id,
    )  # fmt: skip
    root = NodeState(1, 1, NodeKind.FOLDER, mode=0o755)
    state.mirror.apply([root, file], [DentryState(1, b"file", FILE, 1)])
    yield DriveFileSystem(
        state,
        content,
        DeafKernel(),
        ownership=Ownership(),
        is_read_only=False,
        new_node_id=iter(range(10, 100)).__next__,
        on_local_change=lambda: None,
    )
    state.close()


async def opened(fs: DriveFileSystem) -> Handle:
    return (await fs.open(Inode(FILE), os.O_RDONLY, Caller(uid=0, gid=0, pid=1))).handle


async def waited_s(fs: DriveFileSystem, handle: Handle) -> float:
    began_s = trio.current_time()
    with pytest.raises(DeadlinePassed):
        await fs.read(handle, HERE, 100)
    return trio.current_time() - began_s


async def test_manifest_and_bytes_share_one_deadline(
    fs: DriveFileSystem, content: SilentContent, autojump_clock: MockClock
) -> None:
    content.manifest_takes_s = 7.0
    assert await waited_s(fs, await opened(fs)) == pytest.approx(READ_DEADLINE_S)


async def test_what_is_asked_for_again_at_once_waits_no_second_time(
    fs: DriveFileSystem, autojump_clock: MockClock
) -> None:
    handle = await opened(fs)
    assert await waited_s(fs, handle) == pytest.approx(READ_DEADLINE_S)
    assert await waited_s(fs, handle) == 0, "as the kernel does, for the page that it lacks"
    assert await fs.read(handle, 0, 100) == bytes(100), "what is here is read"
    assert await waited_s(fs, await opened(fs)) == pytest.approx(READ_DEADLINE_S), "for others"


async def test_a_moment_later_it_waits_again(
    fs: DriveFileSystem, autojump_clock: MockClock
) -> None:
    handle = await opened(fs)
    await waited_s(fs, handle)
    await trio.sleep(GIVEN_UP_S)
    assert await waited_s(fs, handle) == pytest.approx(READ_DEADLINE_S)
