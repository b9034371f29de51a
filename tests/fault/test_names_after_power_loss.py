"""What was promised durable keeps its name as well: a power loss takes names that nobody synced,
and may leave others without what belongs to them.

A child does the promised thing and is recorded; what POSIX guarantees of its folder then is laid
out anew, and must hold it.
"""

import sys
from pathlib import Path

import pytest

from backend_server.cli.checking import check_data
from backend_server.config import CONFIG_FILE_NAME, CONFIG_TEMPLATE, Flags, load_config
from backend_server.data_folder import load_existing_key
from backend_server.maintenance.check.report import NoProgress
from backend_server.maintenance.check.surroundings import CheckOptions
from backend_server.protocol.identity import DriveId
from harness.processes import environment, run
from mountfs.state.database import Database
from mountfs.state.store import StateStore
from stops.disk import Disk, write_image
from stops.recording import load_recording
from stops.stopper import Stopper, build, can_build

pytestmark = pytest.mark.skipif(not can_build(), reason="no C compiler (cc) here")

OPEN = """
from backend_server.cli.checking import check_data
from backend_server.config import CONFIG_FILE_NAME, CONFIG_TEMPLATE, Flags, load_config
from backend_server.data_folder import load_existing_key
from backend_server.maintenance.check.report import NoProgress
from backend_server.maintenance.check.surroundings import CheckOptions
from backend_server.protocol.identity import DriveId
from mountfs.state.store import StateStore
def opened(boot_id):
    return StateStore.open(folder / "drives" / "one", DriveId("0" * 16), boot_id=boot_id)
"""
WRITE = """
state = opened("first boot")
overlay = state.overlays.begin(5, expected_revision=0, source=None)
state.overlays.write(overlay, 0, b"a" * 100_000, now_ns=1)
"""
FSYNC = """
through = overlay.touched
for generation_id in state.overlays.unsynced(overlay):
    state.overlays.sync_file(generation_id)
state.overlays.mark_synced(overlay, through)
state.database.make_durable()
"""


def left_after_power_loss(tmp_path: Path, script: str) -> Path:
    """Run `script`, which finds its `folder` made, and return what is surely left of it."""
    left = tmp_path / "left"
    write_image(disk_after(tmp_path, script).image_of_synced(), left)
    return left


def disk_after(tmp_path: Path, script: str) -> Disk:
    """Run `script`, which finds its `folder` made, and return the disk below that."""
    watched = tmp_path / "watched"
    watched.mkdir()
    before = tmp_path / "before"
    before.mkdir()
    stopper = Stopper(build(tmp_path), watched, tmp_path / "counters")
    recorded = tmp_path / "recording"
    extra = stopper.environment(recording=recorded)
    head = f"from pathlib import Path\nfolder = Path({str(watched.resolve())!r})\n"
    # It ends without closing anything, as a machine does.
    tail = "\nimport os\nos._exit(0)\n"
    done = run([sys.executable, "-c", head + script + tail], env=environment(tmp_path, extra))
    assert done.code == 0, str(done)
    disk = Disk(before, seen_as=watched.resolve())
    for record in load_recording(recorded):
        disk.apply(record)
    return disk


def test_what_fsync_promised_is_found_again(tmp_path: Path) -> None:
    left = left_after_power_loss(tmp_path, OPEN + WRITE + FSYNC)
    state = StateStore.open(left / "drives" / "one", DriveId("0" * 16), boot_id="second boot")
    overlay = state.overlays.get(5)
    assert overlay is not None
    (generation,) = overlay.generations
    (extent,) = generation.extents
    assert state.overlays.read(generation, extent) == b"a" * 100_000
    state.close()


def test_a_database_is_found_again_before_its_first_checkpoint(tmp_path: Path) -> None:
    """SQLite syncs the folder with the header of a new log, and `make_durable` relies on that."""
    script = """
from mountfs.state.database import Database
database = Database(folder / "state.db")
database.execute("INSERT INTO meta (key, value) VALUES ('promised', 'yes')")
database.make_durable()
"""
    left = left_after_power_loss(tmp_path, script)
    database = Database(left / "state.db")
    assert database.execute("SELECT value FROM meta WHERE key = 'promised'").fetchone() == ("yes",)
    database.close()


def test_a_second_power_loss_does_not_take_the_recovered_copy(tmp_path: Path) -> None:
    """Its rows are gone for good with the next fsync(2) of anything."""
    again = 'state.database.make_durable()\nstate.database.close()\nstate = opened("second boot")\n'
    left = left_after_power_loss(tmp_path, OPEN + WRITE + again + "state.database.make_durable()\n")
    state = StateStore.open(left / "drives" / "one", DriveId("0" * 16), boot_id="third boot")
    (copy,) = state.recovered
    assert copy.path.read_bytes() == b"a" * 100_000
    state.close()


def test_files_that_came_to_the_disk_before_any_row_do_not_keep_the_drive_from_mounting(
    tmp_path: Path,
) -> None:
    """ext4 writes new names after 5 s, bytes after 30: the log that nobody synced comes last."""
    more = """
for node_id in range(6, 10):
    more = state.overlays.begin(node_id, expected_revision=0, source=None)
    state.overlays.write(more, 0, b"b" * 100_000, now_ns=1)
"""
    disk = disk_after(tmp_path, OPEN + WRITE + more)
    rows = {
        path: content
        for path, content in disk.image_of_synced().items()
        if path.name.startswith("state.db")
    }
    left = tmp_path / "left"
    write_image({**disk.image_of_all(), **rows}, left)
    state = StateStore.open(left / "drives" / "one", DriveId("0" * 16), boot_id="second boot")
    assert len(state.overlays) == 0
    state.close()


def test_a_login_is_kept(tmp_path: Path) -> None:
    script = """
from mountfs.app.device import write_private
from mountfs.app.state_folder import StateFolder
state = StateFolder(folder / "state")
state.ensure()
write_private(state.device_file, b"token")
"""
    left = left_after_power_loss(tmp_path, script)
    assert (left / "state" / "device.json").read_bytes() == b"token"


def test_a_server_that_was_initialised_is_one(tmp_path: Path) -> None:
    script = """
from backend_server.cli.initialise import initialise
from backend_server.config import Flags, load_config
initialise(load_config(Flags(data=folder / "srv" / "data")))
"""
    left = left_after_power_loss(tmp_path, script)
    config = load_config(Flags(data=left / "srv" / "data"))
    load_existing_key(config)
    assert (config.data / CONFIG_FILE_NAME).read_text() == CONFIG_TEMPLATE
    assert check_data(config, CheckOptions(), NoProgress()).findings == []
