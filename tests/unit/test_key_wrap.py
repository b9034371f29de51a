"""The master key, its file, and keys wrapped by it."""

from pathlib import Path

import pytest

from backend_server.protocol.identity import ChunkId, DriveId
from backend_server.services.drive_keys import DriveKeys, SealBroken
from backend_server.services.key_wrap import (
    MasterKey,
    MasterKeyMismatch,
    WrappedKeyDamaged,
    chunk_key_purpose,
    data_key_purpose,
    unwrap_key,
    wrap_key,
)
from backend_server.services.master_key import (
    MasterKeyUnusable,
    format_master_key,
    load_master_key,
    parse_master_key,
    write_master_key,
)

MASTER = MasterKey(bytes(range(32)))
KEY = b"k" * 32
DRIVE = DriveId("00000000000000aa")
CHUNK = ChunkId(b"c" * 32)


def test_a_wrapped_key_comes_back_and_hides_the_key() -> None:
    wrapped = wrap_key(KEY, master=MASTER, purpose=b"p")
    assert KEY not in wrapped
    assert unwrap_key(wrapped, master=MASTER, purpose=b"p") == KEY
    assert wrap_key(KEY, master=MASTER, purpose=b"p") != wrapped


def test_another_master_key_is_told_from_damage() -> None:
    wrapped = wrap_key(KEY, master=MASTER, purpose=b"p")
    with pytest.raises(MasterKeyMismatch):
        unwrap_key(wrapped, master=MasterKey(b"x" * 32), purpose=b"p")
    with pytest.raises(WrappedKeyDamaged):
        unwrap_key(wrapped, master=MASTER, purpose=b"q")
    for at in (0, 12, len(wrapped) - 1):
        damaged = bytearray(wrapped)
        damaged[at] ^= 1
        with pytest.raises(WrappedKeyDamaged):
            unwrap_key(bytes(damaged), master=MASTER, purpose=b"p")
    with pytest.raises(WrappedKeyDamaged):
        unwrap_key(b"", master=MASTER, purpose=b"p")


def test_purposes_differ_by_drive_and_version() -> None:
    purposes = {
        chunk_key_purpose(DRIVE),
        data_key_purpose(DRIVE, 1),
        data_key_purpose(DRIVE, 2),
        data_key_purpose(DriveId("00000000000000bb"), 1),
    }
    assert len(purposes) == 4


def test_the_key_never_shows_in_text() -> None:
    assert MASTER.secret.hex() not in repr(MASTER) + str(MASTER)
    assert repr(MASTER.secret) not in repr(MASTER)


def test_the_recovery_copy_is_the_file_and_survives_sloppy_typing(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    write_master_key(path, MASTER)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_master_key(path) == MASTER
    line = format_master_key(MASTER)
    assert path.read_text().strip() == line
    assert parse_master_key(line.lower().replace(":", " : ") + "\n\n") == MASTER
    with pytest.raises(FileExistsError):
        write_master_key(path, MASTER)


@pytest.mark.parametrize("at", range(22, 60, 7))
def test_a_mistyped_key_is_noticed(at: int) -> None:
    line = format_master_key(MASTER)
    mistyped = line[:at] + ("A" if line[at] != "A" else "B") + line[at + 1 :]
    with pytest.raises(MasterKeyUnusable, match=r"typing error|does not hold"):
        parse_master_key(mistyped)


def test_each_bad_key_file_names_its_remedy(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    with pytest.raises(MasterKeyUnusable, match="recovery copy"):
        load_master_key(path)
    write_master_key(path, MASTER)
    path.chmod(0o644)
    with pytest.raises(MasterKeyUnusable, match="chmod 600"):
        load_master_key(path)
    path.chmod(0o600)
    path.write_bytes(b"\xff\xfe\x00nonsense")
    with pytest.raises(MasterKeyUnusable):
        load_master_key(path)


def test_a_sealed_block_opens_only_in_its_place() -> None:
    keys = DriveKeys(DRIVE, b"", {1: KEY})
    sealed = keys.seal(CHUNK, b"block").sealed
    assert b"block" not in sealed
    assert keys.open(CHUNK, sealed) == b"block"
    with pytest.raises(SealBroken):
        keys.open(ChunkId(b"d" * 32), sealed)
    with pytest.raises(SealBroken):
        DriveKeys(DriveId("00000000000000bb"), b"", {1: KEY}).open(CHUNK, sealed)


def test_every_flipped_bit_of_a_sealed_block_is_detected() -> None:
    keys = DriveKeys(DRIVE, b"", {1: KEY})
    sealed = keys.seal(CHUNK, b"block").sealed
    for at in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[at] ^= 0x10
        with pytest.raises(SealBroken):
            keys.open(CHUNK, bytes(damaged))
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            keys.open(CHUNK, sealed[:length])


def test_old_versions_of_a_data_key_still_open_and_the_newest_seals() -> None:
    old = DriveKeys(DRIVE, b"", {1: KEY})
    both = DriveKeys(DRIVE, b"", {1: KEY, 2: b"n" * 32})
    assert both.open(CHUNK, old.seal(CHUNK, b"block").sealed) == b"block"
    assert both.seal(CHUNK, b"block").key_version == 2
    with pytest.raises(SealBroken):
        old.open(CHUNK, both.seal(CHUNK, b"block").sealed)
