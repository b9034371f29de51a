"""The small files beside the database: mark, lock and keyring."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cache.boot import load_boot_id
from cache.errors import CacheInUse
from cache.keyring import VIEW_NAME_BYTES_MAX, Keyring, ViewKey
from cache.marks import FolderLock, StopMark, key_check_of, load_mark, store_mark

MARK = StopMark(
    is_clean=True,
    boot_id="a" * 36,
    key_check=b"k" * 16,
    short_lived_count=3,
    database_bytes=1 << 40,
)
DEVICE_KEY = bytes(range(32))


def test_a_mark_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    store_mark(path, MARK)
    assert load_mark(path) == MARK

    store_mark(path, replace(MARK, is_clean=False, boot_id=""))
    assert load_mark(path) == replace(MARK, is_clean=False, boot_id="")


def test_no_mark_is_none(tmp_path: Path) -> None:
    assert load_mark(tmp_path / "mark") is None


def test_a_changed_mark_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    store_mark(path, MARK)
    intact = path.read_bytes()

    for at in range(110):
        path.write_bytes(intact[:at] + bytes([intact[at] ^ 4]) + intact[at + 1 :])
        assert load_mark(path) is None, at
    path.write_bytes(intact[:60])
    assert load_mark(path) is None


def test_the_key_check_tells_keys_apart_and_not_the_key() -> None:
    assert key_check_of(DEVICE_KEY) == key_check_of(DEVICE_KEY)
    assert key_check_of(DEVICE_KEY) != key_check_of(bytes(32))
    assert key_check_of(DEVICE_KEY) not in DEVICE_KEY


def test_the_lock_is_one(tmp_path: Path) -> None:
    lock = FolderLock.acquire(tmp_path / "owner.lock")
    with pytest.raises(CacheInUse) as caught:
        FolderLock.acquire(tmp_path / "owner.lock")
    assert caught.value.holder_pid == os.getpid()

    lock.release()
    lock.release()
    FolderLock.acquire(tmp_path / "owner.lock").release()


def keyring_with(path: Path, *names: str) -> Keyring:
    keyring = Keyring.open(path, DEVICE_KEY)
    keyring.load()
    for number, name in enumerate(names, start=1):
        keyring.store(ViewKey(number, name, bytes([number]) * 32))
    return keyring


def names_in(path: Path, device_key: bytes = DEVICE_KEY) -> list[str]:
    keyring = Keyring.open(path, device_key)
    names = [key.name for key in keyring.load()]
    keyring.close()
    return names


def test_keys_come_back(tmp_path: Path) -> None:
    longest = "ü" * (VIEW_NAME_BYTES_MAX // 2)
    keyring_with(tmp_path / "keys", "one", longest, "").close()

    keyring = Keyring.open(tmp_path / "keys", DEVICE_KEY)
    assert keyring.load() == [
        ViewKey(1, "one", b"\1" * 32),
        ViewKey(2, longest, b"\2" * 32),
        ViewKey(3, "", b"\3" * 32),
    ]
    keyring.close()


def test_keys_need_the_device_key(tmp_path: Path) -> None:
    keyring_with(tmp_path / "keys", "one").close()

    assert b"\1" * 32 not in (tmp_path / "keys").read_bytes()
    assert names_in(tmp_path / "keys", bytes(32)) == []


def test_a_destroyed_key_is_overwritten_and_its_slot_used_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keyring = keyring_with(path, "one", "two", "three")
    size = path.stat().st_size

    keyring.destroy(2)
    keyring.destroy(2)
    assert path.read_bytes()[512:1024] == bytes(512)
    assert names_in(path) == ["one", "three"]

    keyring.store(ViewKey(4, "four", bytes(32)))
    assert path.stat().st_size == size
    assert names_in(path) == ["one", "four", "three"]

    keyring.destroy_all()
    assert path.read_bytes() == b""
    keyring.close()
    keyring.close()


def test_a_damaged_slot_costs_its_view_only(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keyring_with(path, "one", "two").close()
    stored = bytearray(path.read_bytes())
    stored[1] ^= 1  # the number of "one"
    path.write_bytes(stored)

    assert names_in(path) == ["two"]


def test_a_boot_has_one_id() -> None:
    assert load_boot_id() == load_boot_id()
