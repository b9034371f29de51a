"""The same damages without the command: a mount refuses with a remedy, or starts and never shows,
sends or throws away what it should not.
"""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from damaged_state import (
    BLOCK,
    CHUNKS,
    DAMAGES,
    DRIVE,
    LETTER,
    NOTE,
    DamagedState,
    damages_of,
    flip_bit,
    make_state,
    truncate,
)
from fakes.surroundings import file_system_on
from mountfs.core.findings import FindingKind
from mountfs.errors import LocalStorageBroken, SetupError
from mountfs.fuse.errno_map import errno_of
from mountfs.state.database import is_damage
from mountfs.state.store import StateStore
from mountfs.sync.frozen_content import FrozenContent
from mountfs.vfs.interface import Caller, Inode

CALLER = Caller(uid=0, gid=0, pid=1)


@pytest.fixture
def state(tmp_path: Path) -> DamagedState:
    return make_state(tmp_path / "device")


async def read(opened: StateStore, node_id: int, offset: int, length: int) -> bytes:
    """Read as a program does."""
    filesystem = file_system_on(opened)
    file = await filesystem.open(Inode(opened.inodes.inode_of(node_id)), os.O_RDONLY, CALLER)
    return bytes(await filesystem.read(file.handle, offset, length))


async def read_fails(opened: StateStore, offset: int, length: int) -> None:
    with pytest.raises(LocalStorageBroken, match="mountfs check") as raised:
        await read(opened, LETTER, offset, length)
    assert errno_of(raised.value) == errno.EIO


def frozen(opened: StateStore) -> FrozenContent:
    """The letter as it would be sent."""
    overlay = opened.overlays.get(LETTER)
    assert overlay is not None
    opened.overlays.freeze(overlay)
    return FrozenContent(
        DRIVE, overlay, opened.overlays, opened.staging, None,
        generations_count=len(overlay.generations),
    )  # fmt: skip


# The database ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", damages_of(FindingKind.STATE_MISSING, FindingKind.STATE_DAMAGED))
def test_a_broken_database_refuses_the_mount_and_costs_no_byte(
    state: DamagedState, name: str
) -> None:
    staged = state.staging_file().read_bytes()
    DAMAGES[name][0](state)
    for _ in range(2):
        with pytest.raises(SetupError) as raised:
            state.open()
        assert "mountfs check --repair" in raised.value.remedy
    assert state.staging_file().read_bytes() == staged


@pytest.mark.parametrize("table", ["overlay_log", "generation", "local_dentry", "batch"])
def test_a_broken_page_of_a_table_is_told_with_its_remedy(state: DamagedState, table: str) -> None:
    opened = state.open()
    for nth in range(500):  # more than one page of each, so that reading ends in the middle
        overlay = opened.overlays.begin(nth + 10, expected_revision=0, source=None)
        opened.overlays.write(overlay, 0, b"x" * 100, now_ns=1)
        opened.tree.set_child(1, b"name %d" % nth, nth + 10)
    opened.database.execute("INSERT INTO batch VALUES (1, x'c1')")
    leaf = opened.database.execute(
        "SELECT max(pageno) FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (table,)
    ).fetchone()[0]
    opened.close()
    with state.database.open("r+b") as file:
        file.seek((leaf - 1) * 4096)
        file.write(b"\xff" * 64)
    with pytest.raises(SetupError) as raised:
        state.open()
    assert "mountfs check" in raised.value.remedy


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_BUSY]
)
def test_a_disk_that_fails_is_not_taken_for_damage(state: DamagedState, code: int) -> None:
    """A repair would begin the state anew, though it may be well tomorrow."""
    error = sqlite3.OperationalError("as the disk says")
    error.sqlite_errorcode = code
    assert not is_damage(error)
    log = state.database.with_name("state.db-wal")
    log.mkdir()  # SQLite can neither read nor make its log
    with pytest.raises(SetupError) as raised:
        state.open()
    assert "--repair" not in raised.value.remedy
    with pytest.raises(LocalStorageBroken, match="cannot be read"):
        state.check(is_repair=True)
    log.rmdir()
    assert state.check().findings == []


def test_a_write_ahead_log_without_its_database_is_not_thrown_away(state: DamagedState) -> None:
    state.staging_file().unlink()
    state.database.unlink()
    log = state.database.with_name("state.db-wal")
    log.write_bytes(b"everything since the last checkpoint")
    with pytest.raises(SetupError, match="gone") as raised:
        state.open()
    assert "mountfs check --repair" in raised.value.remedy
    assert log.read_bytes() == b"everything since the last checkpoint"


def test_where_nothing_can_be_lost_a_new_state_begins(state: DamagedState) -> None:
    state.staging_file().unlink()
    state.database.unlink()
    opened = state.open()
    assert opened.cursor == ""
    opened.close()


# Staged bytes ---------------------------------------------------------------------------------


async def test_what_was_cut_off_is_an_error_and_the_rest_reads(state: DamagedState) -> None:
    truncate(state.staging_file(), BLOCK + 10)
    opened = state.open()
    assert await read(opened, LETTER, 0, BLOCK) == b"A" * BLOCK
    await read_fails(opened, BLOCK, 11)
    await read_fails(opened, 2 * BLOCK, BLOCK)
    assert await read(opened, NOTE, 0, 99) == b"a small thing"
    content = frozen(opened)
    assert content.read_dirty(0, BLOCK) == b"A" * BLOCK
    with pytest.raises(LocalStorageBroken):
        content.read_dirty(0, 2 * BLOCK)
    content.close()
    opened.close()


async def test_a_staging_file_that_is_gone_is_not_made_anew(state: DamagedState) -> None:
    path = state.staging_file()
    path.unlink()
    opened = state.open()
    await read_fails(opened, 0, 10)
    with pytest.raises(LocalStorageBroken):
        frozen(opened)
    assert not path.exists()
    opened.close()


async def test_a_flipped_bit_is_never_read_and_never_sent(state: DamagedState) -> None:
    flip_bit(state.staging_file(), 2 * BLOCK + 5)
    opened = state.open()
    await read_fails(opened, 2 * BLOCK, 10)
    content = frozen(opened)
    with pytest.raises(LocalStorageBroken):
        content.read_dirty(2 * BLOCK, 10)
    content.close()
    opened.close()


async def test_what_is_written_over_a_damaged_layer_is_well(state: DamagedState) -> None:
    truncate(state.staging_file(), BLOCK)
    opened = state.open()
    overlay = opened.overlays.get(LETTER)
    assert overlay is not None
    opened.overlays.write(overlay, 2 * BLOCK, b"Z" * BLOCK, now_ns=50)
    assert await read(opened, LETTER, 2 * BLOCK, BLOCK) == b"Z" * BLOCK
    await read_fails(opened, BLOCK, 10)
    opened.close()


@pytest.mark.parametrize(
    "name", ["an overlay is gone, its bytes are not", "a generation is gone, its rows are not"]
)
def test_bytes_whose_rows_are_gone_are_kept(state: DamagedState, name: str) -> None:
    DAMAGES[name][0](state)
    state.open().close()
    state.open().close()
    found = {finding.kind for finding in state.check().findings}
    assert found == {FindingKind.OVERLAY_UNLAWFUL}
    state.check(is_repair=True)
    held = b"".join(state.copies().values())
    assert b"A" * BLOCK in held or b"a small thing" in held


@pytest.mark.parametrize("end", [0, 2, 99])
def test_a_row_that_makes_no_sense_refuses_the_mount(state: DamagedState, end: int) -> None:
    state.sql(f"UPDATE overlay_log SET end_at = {end} WHERE data IS NOT NULL")
    with pytest.raises(SetupError, match="makes no sense") as raised:
        state.open()
    assert "mountfs check" in raised.value.remedy
    state.check(is_repair=True)
    state.open().close()


# While it runs --------------------------------------------------------------------------------


async def test_fsync_of_a_file_whose_staged_bytes_are_gone_fails(state: DamagedState) -> None:
    opened = state.open()
    filesystem = file_system_on(opened)
    file, _ = await filesystem.create(Inode(1), b"new", 0o644, os.O_RDWR, CALLER)
    await filesystem.write(file.handle, 0, b"n" * BLOCK)
    state.staging_file(-1).unlink()
    with pytest.raises(LocalStorageBroken):
        await filesystem.fsync(file.handle, data_only=False)
    opened.close()


# The cache ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    damages_of(
        FindingKind.CACHE_UNUSABLE, FindingKind.CACHE_UNLAWFUL, FindingKind.CACHE_VALUE_DAMAGED
    ),
)
def test_a_damaged_cache_opens_and_never_gives_wrong_bytes(state: DamagedState, name: str) -> None:
    DAMAGES[name][0](state)
    cache = state.open_cache()
    for chunk_id, plain in CHUNKS:
        assert cache.get("home", chunk_id) in (None, plain)
    cache.maintain()
    assert cache.put_many("home", CHUNKS) == len(CHUNKS)
    for chunk_id, plain in CHUNKS:
        assert cache.get("home", chunk_id) == plain
    cache.close()


@pytest.mark.parametrize("nth", range(12))
def test_a_flipped_bit_in_a_page_of_cached_data_is_a_miss(state: DamagedState, nth: int) -> None:
    content = state.cache_file.read_bytes()
    pages = [
        at for at in range(0, len(content), 4096) if content[at : at + 4096].count(0) < 99
    ]  # sealed bytes look like noise; pages of the tree are mostly zeros
    flip_bit(state.cache_file, pages[nth * len(pages) // 12] + 2000)
    cache = state.open_cache()
    got = [cache.get("home", chunk_id) for chunk_id, _ in CHUNKS]
    assert sum(found is None for found in got) == 1
    assert all(found in (None, plain) for found, (_, plain) in zip(got, CHUNKS, strict=True))
    cache.close()
