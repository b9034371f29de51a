"""Mounts are found by their mount point alone."""

import os
from pathlib import Path

import pytest

from mountfs.app.registry import Registry, RunningMount
from mountfs.errors import SetupError


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def _running(path: str, *, state: str = "/s", pid: int | None = None) -> RunningMount:
    return RunningMount(
        mount_point=path,
        control_socket=f"{state}/c.sock",
        state_folder=state,
        log_file=f"{state}/log",
        pid=os.getpid() if pid is None else pid,
    )


def test_what_was_noted_is_found(registry: Registry) -> None:
    assert registry.find(Path("/a")) is None
    assert registry.all() == []
    one, two = _running("/a", state="/s1"), _running("/b", state="/s2")
    registry.add(two)
    registry.add(one)
    assert registry.find(Path("/a")) == one
    assert registry.all() == [one, two]


def test_a_new_mount_takes_the_place_of_an_old_one(registry: Registry) -> None:
    registry.add(_running("/a", pid=1))
    registry.add(_running("/a"))
    assert [mount.pid for mount in registry.all()] == [os.getpid()]


def test_a_process_removes_only_its_own_note(registry: Registry) -> None:
    registry.add(_running("/a", pid=1))
    registry.remove(Path("/a"))
    assert registry.find(Path("/a"))
    registry.add(_running("/a"))
    registry.remove(Path("/a"))
    registry.remove(Path("/a"))
    assert registry.find(Path("/a")) is None


def test_a_damaged_note_is_none(registry: Registry, tmp_path: Path) -> None:
    registry.add(_running("/a"))
    for file in (tmp_path / "registry").iterdir():
        file.write_bytes(b"{")
    assert registry.find(Path("/a")) is None
    assert registry.all() == []


def test_a_folder_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SetupError, match="not a private folder"):
        Registry(folder).add(_running("/a"))


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "registry").symlink_to("elsewhere")
    with pytest.raises(SetupError):
        Registry(tmp_path / "registry").add(_running("/a"))
