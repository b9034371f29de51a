"""What a log-in leaves: private, whole, and told apart from nothing."""

import stat
from pathlib import Path

import pytest

from backend_server.protocol.account_messages import DriveInfo
from backend_server.protocol.chunking import ChunkerParameters
from mountfs.app.device import (
    KEY_BYTES,
    DeviceRecord,
    load_device,
    load_device_key,
    store_device,
)
from mountfs.app.drives import choose_drive, load_drives, store_drives
from mountfs.app.state_folder import StateFolder, mount_name
from mountfs.errors import NotLoggedIn, Offline, SetupError

RECORD = DeviceRecord(
    url="https://drive.example.org",
    email="ada@example.org",
    account_id=1,
    device_id=2,
    device_name="laptop",
    token="sesame",
)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    made.ensure()
    return made


def _drive(name: str, drive_id: str) -> DriveInfo:
    return DriveInfo(drive_id, name, 1, "e", b"k" * 32, ChunkerParameters())


def test_a_device_is_who_it_was(folder: StateFolder) -> None:
    with pytest.raises(NotLoggedIn):
        load_device(folder)
    store_device(folder, RECORD)
    assert load_device(folder) == RECORD
    assert "sesame" not in repr(RECORD)


def test_what_is_secret_is_private(folder: StateFolder) -> None:
    store_device(folder, RECORD)
    load_device_key(folder)
    store_drives(folder, [_drive("home", "1" * 16)])
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    for file in folder.path.iterdir():
        if file.is_file():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_damaged_record_says_so(folder: StateFolder) -> None:
    folder.device_file.write_text("{")
    with pytest.raises(SetupError, match=r"device\.json"):
        load_device(folder)


def test_the_key_stays_and_a_cut_off_one_is_made_anew(folder: StateFolder) -> None:
    key = load_device_key(folder)
    assert len(key) == KEY_BYTES
    assert load_device_key(folder) == key
    folder.key_file.write_bytes(key[:7])
    assert load_device_key(folder) not in (key, key[:7])


def test_drives_are_remembered(folder: StateFolder) -> None:
    with pytest.raises(Offline):
        load_drives(folder)
    drives = [_drive("home", "1" * 16), _drive("Team", "2" * 16)]
    store_drives(folder, drives)
    assert load_drives(folder) == drives


def test_choosing_a_drive() -> None:
    home, team, twin = _drive("home", "1" * 16), _drive("T", "2" * 16), _drive("T", "3" * 16)
    assert choose_drive([home, team], None) is home
    assert choose_drive([home, team], "T") is team
    assert choose_drive([home, team, twin], "3" * 16) is twin
    with pytest.raises(SetupError, match="several"):
        choose_drive([home, team, twin], "T")
    with pytest.raises(SetupError, match="Nowhere") as raised:
        choose_drive([home, team], "Nowhere")
    assert "home" in raised.value.remedy
    with pytest.raises(SetupError, match="no drive"):
        choose_drive([], None)


def test_one_process_at_a_time_uses_a_state_folder(folder: StateFolder) -> None:
    with folder.lock():
        with pytest.raises(SetupError, match="mounted already"), folder.lock():
            pass
    with folder.lock():
        pass


def test_a_state_folder_that_cannot_be_made() -> None:
    with pytest.raises(SetupError, match="/proc/nowhere"):
        StateFolder(Path("/proc/nowhere")).ensure()


def test_mount_points_get_distinct_names() -> None:
    names = {mount_name(Path(path)) for path in ("/", "/a/Drive", "/b/Drive", "/a/Drive/x", "/ä b")}
    assert len(names) == 5
    assert all(name.isascii() or name[0].isalnum() for name in names)
    assert all("/" not in name for name in names)
