"""Logging out never takes bytes along that are nowhere else, not even of a damaged state."""

from pathlib import Path

import pytest
import trio

from damaged_state import DamagedState, make_state, truncate
from mountfs.app.account import log_out
from mountfs.app.device import DeviceRecord, store_device
from mountfs.errors import SetupError
from mountfs.state.recovered_copies import find_recovered


@pytest.fixture
def state(tmp_path: Path) -> DamagedState:
    made = make_state(tmp_path / "device")
    record = DeviceRecord(
        url="http://127.0.0.1:1", email="ada@example.org", account_id=1, device_id=1,
        device_name="laptop", token="sesame",
    )  # fmt: skip
    store_device(made.folder, record)
    return made


def refused(state: DamagedState) -> str:
    async def run() -> None:
        await log_out(state.folder, discard_changes=False)

    with pytest.raises(SetupError) as raised:
        trio.run(run)
    assert state.folder.device_file.exists()
    return f"{raised.value} ({raised.value.remedy})"


def test_what_waits_refuses(state: DamagedState) -> None:
    assert "changes that the server does not have" in refused(state)


def test_a_lost_database_with_staged_bytes_refuses(state: DamagedState) -> None:
    staged = state.staging_file()
    state.database.unlink()
    assert "mountfs check" in refused(state)
    assert staged.exists()


def test_recovered_copies_refuse(state: DamagedState) -> None:
    truncate(state.database, 0)
    state.check(is_repair=True)
    assert "recovered copies" in refused(state)
    assert state.copies()


def test_an_old_state_that_was_set_aside_refuses(state: DamagedState) -> None:
    """It may be the only holder of names and attributes that were never sent."""
    truncate(state.database, 0)
    state.check(is_repair=True)
    for copy in find_recovered(state.drive / "recovered"):
        copy.path.unlink()
    assert "recovered copies" in refused(state)
