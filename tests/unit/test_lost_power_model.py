"""The disk that power losses are made with: what it keeps, loses and may keep."""

import random
from pathlib import Path, PurePosixPath

from stops.disk import PAGE_BYTES, Disk, Image
from stops.recording import CLIENT, Record

TOP = Path("/watched")


def record(
    what: str, path: str, *, other: str = "", offset: int = 0, token: int = 0, data: bytes = b""
) -> Record:
    return Record(what, CLIENT, TOP / path, other, offset, token, False, data)


def disk_with(tmp_path: Path, *records: Record, **files: bytes) -> Disk:
    before = tmp_path / "before"
    before.mkdir()
    for name, content in files.items():
        (before / name).write_bytes(content)
    disk = Disk(before, seen_as=TOP)
    for each in records:
        disk.apply(each)
    return disk


def synced(path: str, *, token: int = 1) -> list[Record]:
    return [record("B", path, token=token), record("E", path, token=token)]


def named(image: Image) -> dict[str, bytes | None]:
    return {str(path): content for path, content in image.items()}


def test_bytes_stay_by_a_sync_of_their_file(tmp_path: Path) -> None:
    disk = disk_with(tmp_path, record("W", "a", offset=1, data=b"XY"), a=b"0123")
    assert named(disk.image_of_synced()) == {"a": b"0123"}
    for each in synced("a"):
        disk.apply(each)
    disk.apply(record("T", "a", offset=1))
    assert named(disk.image_of_synced()) == {"a": b"0XY3"}
    assert named(disk.image_of_all()) == {"a": b"0"}


def test_a_write_while_a_sync_runs_is_not_covered(tmp_path: Path) -> None:
    begin, end = synced("a")
    disk = disk_with(tmp_path, begin, record("W", "a", data=b"late"), end, a=b"")
    assert named(disk.image_of_synced()) == {"a": b""}


def test_a_new_file_needs_its_folder_synced_and_itself(tmp_path: Path) -> None:
    made = [record("C", "new"), record("W", "new", data=b"bytes")]
    disk = disk_with(tmp_path, *made, *synced("new"))
    assert named(disk.image_of_synced()) == {}
    for each in synced("", token=2):
        disk.apply(each)
    assert named(disk.image_of_synced()) == {"new": b"bytes"}


def test_a_name_without_its_bytes_is_an_empty_file(tmp_path: Path) -> None:
    disk = disk_with(tmp_path, record("C", "new"), record("W", "new", data=b"bytes"), *synced(""))
    assert named(disk.image_of_synced()) == {"new": b""}


def test_a_rename_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    rename = record("R", "a", other=str(TOP / "b"))
    disk = disk_with(tmp_path, rename, a=b"new", b=b"old")
    both = ({"a": b"new", "b": b"old"}, {"b": b"new"})
    assert named(disk.image_of_synced()) == both[0]
    seen = [named(disk.image_of_some(random.Random(seed))) for seed in range(30)]
    assert all(image in both for image in seen) and both[0] in seen and both[1] in seen
    for each in synced(""):
        disk.apply(each)
    assert named(disk.image_of_synced()) == both[1]


def test_between_folders_a_rename_waits_for_both_and_keeps_the_order(tmp_path: Path) -> None:
    disk = disk_with(
        tmp_path,
        record("D", "sub"),
        *synced(""),
        record("R", "a", other=str(TOP / "sub/b")),
        record("U", "sub/b"),
        *synced("sub", token=2),
        a=b"bytes",
    )
    # The removal is durable, so the rename before it is too: nothing may come back.
    assert named(disk.image_of_synced()) == {"sub": None}


def test_a_link_keeps_the_bytes_under_both_names(tmp_path: Path) -> None:
    link = record("L", "a", other=str(TOP / "b"))
    disk = disk_with(tmp_path, link, record("U", "a"), *synced(""), a=b"bytes")
    assert named(disk.image_of_synced()) == {"b": b"bytes"}


def test_what_was_not_synced_may_be_there_page_by_page(tmp_path: Path) -> None:
    new = b"".join(bytes([65 + page]) * PAGE_BYTES for page in range(4))
    disk = disk_with(tmp_path, record("W", "a", data=new), a=bytes(4 * PAGE_BYTES))
    seen = set()
    for seed in range(60):
        content = disk.image_of_some(random.Random(seed))[PurePosixPath("a")]
        assert content is not None
        pages = [content[at : at + PAGE_BYTES] for at in range(0, len(new), PAGE_BYTES)]
        assert all(
            page in (new[at * PAGE_BYTES : (at + 1) * PAGE_BYTES], bytes(PAGE_BYTES))
            for at, page in enumerate(pages)
        )
        seen.add(tuple(bool(page[0]) for page in pages))
    assert (False, False, False, True) in seen, "a later page without an earlier one"
    assert len(seen) > 8
