"""Which state folder a check is about."""

from pathlib import Path

import pytest

from mountfs.app.check_access import find_state, keep_mounts_away
from mountfs.app.registry import Registry, RunningMount
from mountfs.app.state_folder import StateFolder
from mountfs.errors import SetupError


def mounted_before(folder: Path, mount_point: Path) -> StateFolder:
    made = StateFolder(folder)
    made.ensure()
    made.log_file(mount_point).touch()
    return made


def test_without_a_mount_point_it_is_the_one_named(tmp_path: Path) -> None:
    assert find_state(None, tmp_path).path == tmp_path


def test_the_one_that_was_mounted_there_comes_first(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    point = tmp_path / "drive"
    named = mounted_before(tmp_path / "named", point)
    killed = RunningMount(
        mount_point=str(point), control_socket="", state_folder=str(tmp_path / "killed"),
        log_file="", pid=1,
    )  # fmt: skip
    registry.add(killed)
    assert find_state(point, named.path, registry).path == named.path
    assert find_state(point, tmp_path / "other", registry).path == tmp_path / "killed"


def test_a_mount_point_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="never mounted") as raised:
        find_state(tmp_path / "drive", tmp_path / "state", Registry(tmp_path / "registry"))
    assert "--state" in raised.value.remedy


def test_a_folder_that_is_no_state(tmp_path: Path) -> None:
    with (
        pytest.raises(SetupError, match="no state folder"),
        keep_mounts_away(StateFolder(tmp_path / "nothing")),
    ):
        pass
    assert not (tmp_path / "nothing").exists()
