"""Which folders may be mounted on, and what the kernel's table says."""

from pathlib import Path

import pytest

from mountfs.errors import SetupError
from mountfs.fuse.kernel_tuning import READ_AHEAD_KIB, tune_mount
from mountfs.fuse.mount_table import Mounted, find_mount, load_mounts, parse_mounts
from mountfs.fuse.mounting import mount_options, prepare_mount_point, resolve_mount_point

TABLE = (
    rb"22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw" + b"\n"
    rb"36 22 0:31 / /mnt/with\040space\134 rw,nosuid - fuse.mountfs mountfs rw,user_id=0" + b"\n"
    rb"37 22 0:32 / /mnt/f rw master:1 propagate_from:2 - fuse.sshfs host:/d rw" + b"\n"
)


def test_the_table_is_read() -> None:
    root, ours, other = parse_mounts(TABLE)
    assert root.mount_point == Path("/")
    assert ours == Mounted(Path("/mnt/with space\\"), "0:31", "fuse.mountfs", "mountfs")
    assert (other.kind, other.source) == ("fuse.sshfs", "host:/d")


def test_what_is_mounted_here() -> None:
    assert Path("/proc") in [mounted.mount_point for mounted in load_mounts()]
    proc = find_mount(Path("/proc"))
    assert proc is not None
    assert proc.kind == "proc"


def test_an_empty_folder_is_fine_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for name in ("real", "link"):
        assert prepare_mount_point(tmp_path / name) == (tmp_path / "real").resolve()


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_mount_point(Path("a/../b")) == tmp_path.resolve() / "b"
    assert resolve_mount_point(Path("/")) == Path("/")


@pytest.mark.parametrize("case", ["missing", "file", "full"])
def test_unfit_folders_are_refused_with_a_remedy(tmp_path: Path, case: str) -> None:
    path = tmp_path / case
    match case:
        case "file":
            path.touch()
        case "full":
            (path / "inside").mkdir(parents=True)
    with pytest.raises(SetupError, match=case) as raised:
        prepare_mount_point(path)
    assert raised.value.remedy


def test_options() -> None:
    always = {"default_permissions", "nosuid", "nodev", "fsname=mountfs", "subtype=mountfs"}
    assert mount_options(is_read_only=False, allow_other=False) == always
    assert mount_options(is_read_only=True, allow_other=True) == always | {"ro", "allow_other"}


def test_tuning_writes_what_it_may_and_never_fails(tmp_path: Path) -> None:
    bdi = tmp_path / "class/bdi/0:31"
    bdi.mkdir(parents=True)
    (bdi / "read_ahead_kb").write_text("128\n")
    tune_mount("0:31", sys_folder=tmp_path)
    assert (bdi / "read_ahead_kb").read_text() == f"{READ_AHEAD_KIB}\n"
    connection = tmp_path / "fs/fuse/connections/31"
    connection.mkdir(parents=True)
    tune_mount("0:31", sys_folder=tmp_path)
    assert (connection / "max_background").read_text() == "64\n"
