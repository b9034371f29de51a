"""However an editor saves, the other mount sees the new content of the same file.

"Same" is the inode on the other mount: whoever has the file open, watches it or knows its history
there keeps it.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.mount import become_visible
from harness.shared_drive import SharedDrive
from harness.trees import names_in
from harness.waiting import wait_until

pytestmark = pytest.mark.fuse

OLD = b"the first text\n" * 400
NEW = b"the first text\n" * 200 + b"and a second one\n" + b"the first text\n" * 199


def _truncate_and_write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _overwrite_in_place(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def _temporary_file_renamed_over(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _unlinked_and_created(path: Path, content: bytes) -> None:
    path.unlink()
    with path.open("xb") as file:
        file.write(content)


def _back_up_renamed_then_created(path: Path, content: bytes) -> None:
    backup = path.with_name(f"{path.name}~")
    path.rename(backup)
    with path.open("xb") as file:
        file.write(content)
    backup.unlink()


def _back_up_kept(path: Path, content: bytes) -> None:
    path.rename(path.with_name(f"{path.name}~"))
    with path.open("xb") as file:
        file.write(content)


def _back_up_copied(path: Path, content: bytes) -> None:
    path.with_name(f"{path.name}~").write_bytes(path.read_bytes())
    path.write_bytes(content)


WAYS: list[Callable[[Path, bytes], None]] = [
    _truncate_and_write,
    _overwrite_in_place,
    _temporary_file_renamed_over,
    _unlinked_and_created,
    _back_up_renamed_then_created,
    _back_up_kept,
    _back_up_copied,
]


@pytest.mark.parametrize("save", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_a_save_is_a_new_content_of_the_same_file(
    save: Callable[[Path, bytes], None], folder: Path, drive: SharedDrive, tmp_path: Path
) -> None:
    here = folder / "letter.txt"
    there = drive.there.path / here.relative_to(drive.here.path)
    here.write_bytes(OLD)
    drive.here.sync()
    become_visible(there, OLD)
    inode = there.stat().st_ino

    with there.open("rb") as held_open:
        save(here, NEW)
        assert here.read_bytes() == NEW
        drive.here.sync()
        become_visible(there, NEW)
        assert there.stat().st_ino == inode, "the other mount sees another file, not a new content"

        def reads_new() -> bool:
            held_open.seek(0)
            return held_open.read() == NEW

        wait_until(reads_new, deadline_s=10, what="a handle opened before sees the new content")

    # A second save the same way, and the same as a plain folder would have it.
    plain = tmp_path / "letter.txt"
    for content in (OLD, NEW, OLD):
        if not plain.exists():
            plain.write_bytes(content)
        else:
            save(plain, content)
    save(here, OLD)
    become_visible(there, OLD)
    assert there.stat().st_ino == inode
    assert names_in(folder) == names_in(tmp_path)


def test_many_quick_saves_end_with_the_last(folder: Path, drive: SharedDrive) -> None:
    here = folder / "counter.txt"
    there = drive.there.path / here.relative_to(drive.here.path)
    for index in range(60):
        _temporary_file_renamed_over(here, b"%d\n" % index * 50)
    drive.here.sync()
    become_visible(there, b"59\n" * 50)
    assert names_in(there.parent) == ["counter.txt"]
