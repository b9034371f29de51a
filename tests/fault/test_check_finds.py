"""Each kind of damage is found, exactly it, and finding it changes nothing."""

import functools
import shutil
from pathlib import Path

import pytest
import trio

from cache.store import Store
from damaged_state import (
    BLOCK,
    CHUNKS,
    DRIVE,
    FOLDER,
    LETTER,
    NOTE,
    PHOTO,
    Damage,
    DamagedState,
    flip_bit,
    make_state,
    truncate,
)
from mountfs.app.check import CheckPlan, check_device, keep_mounts_away
from mountfs.app.state_folder import StateFolder
from mountfs.core.findings import Finding, FindingKind
from mountfs.errors import SetupError

PLACE = f"drives/{DRIVE}"


@pytest.fixture
def state(tmp_path: Path) -> DamagedState:
    return make_state(tmp_path / "device")


def check(state: DamagedState) -> list[Finding]:
    """Check without a server; nothing may change."""
    before = state.files()
    plan = CheckPlan(state.folder, is_quick=True)
    with keep_mounts_away(state.folder):
        checked = trio.run(functools.partial(check_device, plan, lambda _: None))
    assert state.files() == before
    return checked.findings


def _flip_in_the_middle(state: DamagedState) -> None:
    # The first page has the schema; a flip in its text, or in a table's root, is never legal.
    flip_bit(state.database, 4096 + 3)


def _damage_cached_value(state: DamagedState) -> None:
    store = Store.open(state.folder.cache, map_bytes=64 << 20)
    with store.reading() as transaction:
        key, value = next(
            (key, value) for key, value in transaction.scan(b"items") if CHUNKS[2][0] in key
        )
    with store.writing() as transaction:
        transaction.put(b"items", key, value[:-1] + bytes([value[-1] ^ 1]))
    store.close()


def _damage_ledger(state: DamagedState) -> None:
    store = Store.open(state.folder.cache, map_bytes=64 << 20)
    with store.writing() as transaction:
        for key, value in list(transaction.scan(b"totals")):
            transaction.put(b"totals", key, value[:-1] + bytes([value[-1] ^ 1]))
    store.close()


DAMAGES: dict[str, tuple[Damage, FindingKind, str]] = {
    "state.db is gone": (
        lambda state: state.database.unlink(), FindingKind.STATE_MISSING, f"{PLACE}/state.db"
    ),
    "state.db is empty": (
        lambda state: truncate(state.database, 0), FindingKind.STATE_MISSING, f"{PLACE}/state.db"
    ),
    "state.db is cut off": (
        lambda state: truncate(state.database, state.database.stat().st_size // 2),
        FindingKind.STATE_DAMAGED,
        f"{PLACE}/state.db",
    ),
    "state.db is garbage": (
        lambda state: state.database.write_bytes(b"garbage" * 9999),
        FindingKind.STATE_DAMAGED,
        f"{PLACE}/state.db",
    ),
    "state.db has a flipped bit": (
        _flip_in_the_middle, FindingKind.STATE_DAMAGED, f"{PLACE}/state.db"
    ),
    "state.db is of tomorrow": (
        lambda state: state.sql("PRAGMA user_version = 99"),
        FindingKind.STATE_OTHER_VERSION,
        f"{PLACE}/state.db",
    ),
    "a name leads nowhere": (
        lambda state: state.sql(f"DELETE FROM node WHERE node_id = {PHOTO}"),
        FindingKind.MIRROR_UNLAWFUL,
        f"{PLACE}/state.db",
    ),
    "a node has no name": (
        lambda state: state.sql(f"DELETE FROM dentry WHERE node_id = {PHOTO}"),
        FindingKind.MIRROR_UNLAWFUL,
        f"{PLACE}/state.db",
    ),
    "a folder has two names": (
        lambda state: state.sql(f"INSERT INTO dentry VALUES (1, x'78', {FOLDER}, 1)"),
        FindingKind.MIRROR_UNLAWFUL,
        f"{PLACE}/state.db",
    ),
    "a folder is taken for a file": (
        lambda state: state.sql(f"UPDATE dentry SET is_folder = 0 WHERE node_id = {FOLDER}"),
        FindingKind.MIRROR_UNLAWFUL,
        f"{PLACE}/state.db",
    ),
    "a staging file is cut off": (
        lambda state: truncate(state.staging_file(), BLOCK + 10),
        FindingKind.STAGED_BYTES_LOST,
        "docs/letter",
    ),
    "a staging file is gone": (
        lambda state: state.staging_file().unlink(),
        FindingKind.STAGED_BYTES_LOST,
        "docs/letter",
    ),
    "a staging file of nobody": (
        lambda state: (state.drive / "staging" / "777").write_bytes(b"whose?"),
        FindingKind.STAGING_UNCLAIMED,
        f"{PLACE}/staging/777",
    ),
    "an overlay is gone, its bytes are not": (
        lambda state: state.sql(f"DELETE FROM overlay WHERE node_id = {LETTER}"),
        FindingKind.OVERLAY_UNLAWFUL,
        "docs/letter",
    ),
    "a generation is gone, its rows are not": (
        lambda state: state.sql(f"DELETE FROM generation WHERE node_id = {NOTE}"),
        FindingKind.OVERLAY_UNLAWFUL,
        PLACE,
    ),
    "a row makes no sense": (
        lambda state: state.sql("UPDATE overlay_log SET end_at = 2 WHERE data IS NOT NULL"),
        FindingKind.OVERLAY_UNLAWFUL,
        "note",
    ),
    "the cache is gone": (
        lambda state: state.cache_file.unlink(), FindingKind.CACHE_UNUSABLE, "cache/data.mdb"
    ),
    "the cache is cut off": (
        lambda state: truncate(state.cache_file, 20_000),
        FindingKind.CACHE_UNUSABLE,
        "cache/data.mdb",
    ),
    "the cache is garbage": (
        lambda state: state.cache_file.write_bytes(b"\xff" * state.cache_file.stat().st_size)
       ,
        FindingKind.CACHE_UNUSABLE,
        "cache/data.mdb",
    ),
    "a cached value is damaged": (
        _damage_cached_value, FindingKind.CACHE_VALUE_DAMAGED, "cache/data.mdb"
    ),
    "the cache counts wrong": (_damage_ledger, FindingKind.CACHE_UNLAWFUL, "cache/data.mdb"),
}  # fmt: skip


def test_nothing_is_wrong(state: DamagedState) -> None:
    assert check(state) == []


def test_nothing_is_wrong_with_what_a_killed_process_left(tmp_path: Path) -> None:
    state = make_state(tmp_path / "device")
    opened = state.open()
    overlay = opened.overlays.get(LETTER)
    assert overlay is not None
    opened.overlays.write(overlay, 0, b"X" * BLOCK, now_ns=20)
    # What a killed process leaves: its log, unmerged.
    copied = tmp_path / "killed"
    shutil.copytree(state.folder.path, copied)
    opened.close()
    killed = DamagedState(StateFolder(copied))
    assert (killed.drive / "state.db-wal").stat().st_size
    assert check(killed) == []


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_nothing_is_changed(state: DamagedState, name: str) -> None:
    damage, kind, place = DAMAGES[name]
    damage(state)
    found = check(state)
    assert [(finding.kind, finding.place) for finding in found] == [(kind, place)], found


def test_lost_bytes_are_told_by_their_ranges(state: DamagedState) -> None:
    truncate(state.staging_file(), BLOCK + 10)
    (found,) = check(state)
    assert f"{BLOCK + 10} to {3 * BLOCK}" in found.sentence
    assert not found.is_repairable


def test_of_what_is_all_garbage_only_so_much_is_told(state: DamagedState) -> None:
    state.sql("DELETE FROM node")
    found = check(state)
    assert {finding.kind for finding in found} == {FindingKind.MIRROR_UNLAWFUL}


def test_a_state_in_use_is_not_checked(state: DamagedState) -> None:
    with state.folder.lock():
        with pytest.raises(SetupError, match="mounted") as raised, keep_mounts_away(state.folder):
            pass
    assert "umount" in raised.value.remedy
