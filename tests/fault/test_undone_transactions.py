"""A full disk undoes a transaction: what was there before is there after, in memory too."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend_server.protocol.identity import DriveId
from fakes.surroundings import lonely_file_system
from mountfs.errors import LocalStorageFull
from mountfs.state.database import Database
from mountfs.state.overlay import Source
from mountfs.state.store import StateStore
from mountfs.vfs.file_system import DriveFileSystem
from mountfs.vfs.interface import ROOT_INODE, AttributeChanges, Caller, Handle, Inode, RenameFlags

CALLER = Caller(0, 0, 1)
PRECIOUS = b"precious " * 8000


@pytest.fixture
def files(tmp_path: Path) -> Iterator[DriveFileSystem]:
    with lonely_file_system(tmp_path) as made:
        yield made


async def make(files: DriveFileSystem, name: bytes) -> tuple[Inode, Handle]:
    opened, attributes = await files.create(ROOT_INODE, name, 0o644, os.O_RDWR, CALLER)
    return attributes.inode, opened.handle


def full(*_: object) -> None:
    raise LocalStorageFull("full")


async def test_a_rename_that_was_undone_leaves_its_target_whole(
    files: DriveFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode, handle = await make(files, b"target")
    await files.write(handle, 0, PRECIOUS)
    await files.release(handle)
    await make(files, b"other")
    with monkeypatch.context() as disk:
        disk.setattr(files, "touch_folder", full)
        with pytest.raises(LocalStorageFull):
            await files.rename(ROOT_INODE, b"other", ROOT_INODE, b"target", RenameFlags(0))
    files.forget([(inode, 1)])  # the kernel drops the inode that it thought replaced
    target = await files.lookup(ROOT_INODE, b"target")
    opened = await files.open(target.inode, os.O_RDONLY, CALLER)
    assert bytes(await files.read(opened.handle, 0, len(PRECIOUS))) == PRECIOUS


async def test_an_unlinked_file_whose_first_write_failed_takes_nobody_elses_place(
    files: DriveFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, temporary = await make(files, b"temporary")
    await files.remove_file(ROOT_INODE, b"temporary")
    with monkeypatch.context() as disk:
        disk.setattr(files.state.staging, "write", full)
        with pytest.raises(LocalStorageFull):
            await files.write(temporary, 0, b"t" * 50_000)
    _, handle = await make(files, b"precious")
    await files.write(handle, 0, PRECIOUS)
    await files.write(temporary, 0, b"T" * 50_000)
    assert bytes(await files.read(handle, 0, len(PRECIOUS))) == PRECIOUS
    assert bytes(await files.read(temporary, 0, 50_000)) == b"T" * 50_000


async def test_a_disk_that_takes_no_row_keeps_no_inode_known(files: DriveFileSystem) -> None:
    database, known_count = files.state.database, files.table.known_count
    inodes = []
    for name in (b"one", b"two", b"three"):
        inode, handle = await make(files, name)
        await files.set_attributes(inode, AttributeChanges(atime_ns=1), None, CALLER)
        await files.release(handle)
        await files.remove_file(ROOT_INODE, name)
        inodes.append(inode)
    database.execute("PRAGMA query_only = 1")
    files.forget([(inode, 1) for inode in inodes])
    database.execute("PRAGMA query_only = 0")
    assert files.table.known_count == known_count
    assert not files.table.orphans


async def test_what_cannot_be_forgotten_does_not_keep_staged_bytes(
    files: DriveFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode, handle = await make(files, b"large")
    await files.write(handle, 0, PRECIOUS)
    await files.release(handle)
    await files.remove_file(ROOT_INODE, b"large")
    assert files.state.staging.generation_ids()
    monkeypatch.setattr(files.access_times, "forget", full)
    files.forget([(inode, 1)])
    assert files.state.staging.generation_ids() == set()
    assert files.state.overlays.dirty_bytes == 0


def test_what_is_written_after_an_undone_removal_is_not_taken_for_sent(tmp_path: Path) -> None:
    state = StateStore.open(tmp_path, DriveId("0" * 16))
    overlay = state.overlays.begin(5, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, b"sent", now_ns=1)
    state.overlays.freeze(overlay)
    ids = [generation.generation_id for generation in overlay.generations]

    def remove() -> None:
        with state.database.transaction():
            state.overlays.detach(overlay)
            full()

    with pytest.raises(LocalStorageFull):
        remove()
    again = state.overlays.get(5)
    assert again is not None
    state.overlays.write(again, 4, b" and more", now_ns=2)
    state.overlays.retire(again, ids, Source(5, 9, b"m" * 32, b"", 4))
    (left,) = again.generations
    assert [state.overlays.read(left, extent) for extent in left.extents] == [b" and more"]
    state.close()


def test_a_settled_batch_asks_the_platter_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateStore.open(tmp_path, DriveId("0" * 16))
    overlays = [state.overlays.begin(n, expected_revision=0, source=None) for n in range(5, 25)]
    for overlay in overlays:
        state.overlays.write(overlay, 0, PRECIOUS, now_ns=1)
        state.overlays.mark_synced(overlay, overlay.touched)
    syncs: list[int] = []
    monkeypatch.setattr(state.database, "make_durable", lambda: syncs.append(1))
    with state.database.transaction():
        for overlay in overlays:
            ids = [generation.generation_id for generation in overlay.generations]
            state.overlays.retire(overlay, ids, Source(overlay.node_id, 9, b"m" * 32, b"", 1))
        assert len(state.staging.generation_ids()) == 20
    assert syncs == [1]
    assert state.staging.generation_ids() == set()
    monkeypatch.undo()
    state.close()


def test_staged_bytes_go_only_when_their_rows_are_gone(tmp_path: Path) -> None:
    state = StateStore.open(tmp_path, DriveId("0" * 16))
    overlay = state.overlays.begin(5, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, PRECIOUS, now_ns=1)
    state.overlays.freeze(overlay)
    committed = Source(5, 9, b"m" * 32, b"", len(PRECIOUS))
    ids = [overlay.generations[0].generation_id]

    def settle(fail: Callable[[], None]) -> None:
        with state.database.transaction():
            overlay = state.overlays.get(5)
            assert overlay is not None
            state.overlays.retire(overlay, ids, committed)
            fail()

    with pytest.raises(LocalStorageFull):
        settle(full)
    again = state.overlays.get(5)
    assert again is not None
    (generation,) = again.generations
    assert b"".join(state.overlays.read(generation, e) for e in generation.extents) == PRECIOUS
    settle(lambda: None)
    assert 5 not in state.overlays
    assert state.staging.generation_ids() == set()
    state.close()


def test_what_is_told_to_a_transaction_happens_when_it_ends(tmp_path: Path) -> None:
    database = Database(tmp_path / "any.db")
    happened: list[str] = []

    def run(fail: Callable[[], None]) -> None:
        with database.transaction():
            database.when_done(lambda: happened.append("done"))
            with database.transaction():
                database.if_undone(lambda: happened.append("first undone"))
                database.if_undone(lambda: happened.append("last undone"))
            assert happened == []
            fail()

    run(lambda: None)
    assert happened == ["done"]
    happened.clear()
    with pytest.raises(LocalStorageFull):
        run(full)
    assert happened == ["last undone", "first undone"]
    happened.clear()
    database.when_done(lambda: happened.append("at once"))
    database.if_undone(lambda: happened.append("never"))
    assert happened == ["at once"]
    database.close()
