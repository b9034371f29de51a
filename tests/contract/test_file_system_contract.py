"""What every `FileSystem` promises, without a kernel: POSIX, as far as programs rely on it."""

import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio

from fakes.surroundings import lonely_file_system
from memory_file_system import MemoryFileSystem
from mountfs.clock import SystemClock
from mountfs.errors import (
    AttributesFull,
    BadHandle,
    DirectoryNotEmpty,
    EntryExists,
    FileSystemError,
    InvalidArgument,
    IsADirectory,
    NameTooLong,
    NoAttribute,
    NoSuchEntry,
    NotADirectory,
    NotSupported,
    OperationNotPermitted,
)
from mountfs.vfs.interface import (
    ROOT_INODE,
    AttributeChanges,
    Attributes,
    Caller,
    FileSystem,
    Handle,
    Inode,
    RenameFlags,
)

ME = Caller(uid=os.getuid(), gid=os.getgid(), pid=1)
NO_FLAGS = RenameFlags.NONE


def _memory(folder: Path) -> Iterator[FileSystem]:
    yield MemoryFileSystem()


def _drive(folder: Path) -> Iterator[FileSystem]:
    with lonely_file_system(folder / "drive") as made:
        yield made


@pytest.fixture(params=[_memory, _drive])
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileSystem]:
    make: Callable[[Path], Iterator[FileSystem]] = request.param
    yield from make(tmp_path)


# Small steps ---------------------------------------------------------------------------------


async def put(fs: FileSystem, name: bytes, data: bytes, parent: Inode = ROOT_INODE) -> Inode:
    """Make a file with `data` and return its inode."""
    opened, attributes = await fs.create(parent, name, 0o644, os.O_WRONLY, ME)
    if data:
        assert await fs.write(opened.handle, 0, data) == len(data)
    await fs.release(opened.handle)
    return attributes.inode


async def get(fs: FileSystem, inode: Inode) -> bytes:
    opened = await fs.open(inode, os.O_RDONLY, ME)
    data = await fs.read(opened.handle, 0, 1 << 20)
    await fs.release(opened.handle)
    return bytes(data)


async def names(fs: FileSystem, inode: Inode = ROOT_INODE) -> list[bytes]:
    handle = await fs.open_folder(inode)
    found = [entry.name for entry in await fs.list_folder(handle, 0)]
    await fs.release_folder(handle)
    return sorted(found)


async def folder(fs: FileSystem, name: bytes, parent: Inode = ROOT_INODE) -> Inode:
    return (await fs.make_folder(parent, name, 0o755, ME)).inode


# Names ---------------------------------------------------------------------------------------


async def test_an_absent_name_is_told_so(fs: FileSystem) -> None:
    with pytest.raises(NoSuchEntry):
        await fs.lookup(ROOT_INODE, b"absent")
    with pytest.raises(NoSuchEntry):
        await fs.remove_file(ROOT_INODE, b"absent")


async def test_a_made_file_is_found_with_what_it_was_made_with(fs: FileSystem) -> None:
    opened, made = await fs.create(ROOT_INODE, b"f", 0o640, os.O_RDWR, ME)
    found = await fs.lookup(ROOT_INODE, b"f")
    assert found.inode == made.inode
    assert stat.S_ISREG(found.mode)
    assert stat.S_IMODE(found.mode) == 0o640
    assert (found.nlink, found.size_bytes) == (1, 0)
    await fs.release(opened.handle)


@pytest.mark.parametrize("make", ["file", "folder", "symlink", "fifo", "link"])
async def test_a_taken_name_is_not_taken_again(fs: FileSystem, make: str) -> None:
    inode = await put(fs, b"taken", b"kept")
    name = (ROOT_INODE, b"taken")
    making: dict[str, Callable[[], Awaitable[object]]] = {
        "file": lambda: fs.create(*name, 0o644, os.O_RDWR, ME),
        "folder": lambda: fs.make_folder(*name, 0o755, ME),
        "symlink": lambda: fs.make_symlink(*name, b"x", ME),
        "fifo": lambda: fs.make_node(*name, stat.S_IFIFO | 0o644, 0, ME),
        "link": lambda: fs.make_link(inode, *name),
    }
    with pytest.raises(EntryExists):
        await making[make]()
    assert await get(fs, inode) == b"kept"


async def test_names_are_bytes_of_at_most_255(fs: FileSystem) -> None:
    odd = b"\xff\xfe\n" + b"n" * 252
    inode = await put(fs, odd, b"")
    assert (await fs.lookup(ROOT_INODE, odd)).inode == inode
    with pytest.raises(NameTooLong):
        await fs.create(ROOT_INODE, odd + b"!", 0o644, os.O_RDWR, ME)
    with pytest.raises((NameTooLong, NoSuchEntry)):
        await fs.lookup(ROOT_INODE, odd + b"!")


async def test_folders_are_made_and_removed(fs: FileSystem) -> None:
    inode = await folder(fs, b"d")
    await put(fs, b"inside", b"", inode)
    with pytest.raises(DirectoryNotEmpty):
        await fs.remove_folder(ROOT_INODE, b"d")
    with pytest.raises(IsADirectory):
        await fs.remove_file(ROOT_INODE, b"d")
    await fs.remove_file(inode, b"inside")
    await put(fs, b"f", b"")
    with pytest.raises(NotADirectory):
        await fs.remove_folder(ROOT_INODE, b"f")
    await fs.remove_folder(ROOT_INODE, b"d")
    assert await names(fs) == [b"f"]


async def test_a_file_is_no_folder(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"")
    with pytest.raises(FileSystemError):
        await fs.lookup(inode, b"x")
    with pytest.raises(NotADirectory):
        await fs.create(inode, b"x", 0o644, os.O_RDWR, ME)
    with pytest.raises(IsADirectory):
        await fs.open(ROOT_INODE, os.O_RDWR, ME)


async def test_symlinks_keep_their_target(fs: FileSystem) -> None:
    made = await fs.make_symlink(ROOT_INODE, b"l", b"../\xff/else", ME)
    assert stat.S_ISLNK(made.mode)
    assert made.size_bytes == len(b"../\xff/else")
    assert await fs.read_link(made.inode) == b"../\xff/else"
    file = await put(fs, b"f", b"")
    with pytest.raises(InvalidArgument):
        await fs.read_link(file)


async def test_special_files_keep_their_kind(fs: FileSystem) -> None:
    made = await fs.make_node(ROOT_INODE, b"pipe", stat.S_IFIFO | 0o600, 0, ME)
    assert stat.S_ISFIFO(made.mode)
    assert stat.S_IMODE(made.mode) == 0o600


async def test_hard_links_are_one_file(fs: FileSystem) -> None:
    inode = await put(fs, b"a", b"shared")
    assert (await fs.make_link(inode, ROOT_INODE, b"b")).nlink == 2
    assert (await fs.lookup(ROOT_INODE, b"b")).inode == inode
    await fs.remove_file(ROOT_INODE, b"a")
    assert (await fs.get_attributes(inode)).nlink == 1
    assert await get(fs, inode) == b"shared"
    with pytest.raises(OperationNotPermitted):
        await fs.make_link(await folder(fs, b"d"), ROOT_INODE, b"c")


# Rename --------------------------------------------------------------------------------------


async def test_rename_moves_between_folders(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"moved")
    target = await folder(fs, b"d")
    await fs.rename(ROOT_INODE, b"f", target, b"g", NO_FLAGS)
    assert await names(fs) == [b"d"]
    assert (await fs.lookup(target, b"g")).inode == inode
    assert await get(fs, inode) == b"moved"


async def test_rename_over_a_file_replaces_it_but_not_for_who_has_it_open(fs: FileSystem) -> None:
    old = await put(fs, b"old", b"old bytes")
    new = await put(fs, b"new", b"new bytes")
    reading = await fs.open(old, os.O_RDONLY, ME)
    await fs.rename(ROOT_INODE, b"new", ROOT_INODE, b"old", NO_FLAGS)
    assert await names(fs) == [b"old"]
    assert (await fs.lookup(ROOT_INODE, b"old")).inode == new
    assert await get(fs, new) == b"new bytes"
    assert bytes(await fs.read(reading.handle, 0, 100)) == b"old bytes"
    assert (await fs.get_attributes(old)).nlink == 0
    await fs.release(reading.handle)


async def test_rename_onto_another_name_of_the_same_file_does_nothing(fs: FileSystem) -> None:
    inode = await put(fs, b"a", b"x")
    await fs.make_link(inode, ROOT_INODE, b"b")
    await fs.rename(ROOT_INODE, b"a", ROOT_INODE, b"b", NO_FLAGS)
    assert await names(fs) == [b"a", b"b"]


async def test_rename_keeps_kinds_apart(fs: FileSystem) -> None:
    await put(fs, b"f", b"")
    await folder(fs, b"d")
    full = await folder(fs, b"full")
    await put(fs, b"inside", b"", full)
    with pytest.raises(IsADirectory):
        await fs.rename(ROOT_INODE, b"f", ROOT_INODE, b"d", NO_FLAGS)
    with pytest.raises(NotADirectory):
        await fs.rename(ROOT_INODE, b"d", ROOT_INODE, b"f", NO_FLAGS)
    with pytest.raises(DirectoryNotEmpty):
        await fs.rename(ROOT_INODE, b"d", ROOT_INODE, b"full", NO_FLAGS)
    await fs.rename(ROOT_INODE, b"full", ROOT_INODE, b"d", NO_FLAGS)
    assert await names(fs, full) == [b"inside"]


async def test_a_folder_does_not_go_into_itself(fs: FileSystem) -> None:
    outer = await folder(fs, b"outer")
    inner = await folder(fs, b"inner", outer)
    with pytest.raises(InvalidArgument):
        await fs.rename(ROOT_INODE, b"outer", inner, b"x", NO_FLAGS)
    with pytest.raises(InvalidArgument):
        await fs.rename(ROOT_INODE, b"outer", outer, b"x", NO_FLAGS)


async def test_rename_that_may_not_replace(fs: FileSystem) -> None:
    first = await put(fs, b"a", b"a")
    await put(fs, b"b", b"b")
    with pytest.raises(EntryExists):
        await fs.rename(ROOT_INODE, b"a", ROOT_INODE, b"b", RenameFlags.NO_REPLACE)
    await fs.rename(ROOT_INODE, b"a", ROOT_INODE, b"c", RenameFlags.NO_REPLACE)
    assert (await fs.lookup(ROOT_INODE, b"c")).inode == first


async def test_rename_that_exchanges(fs: FileSystem) -> None:
    file = await put(fs, b"f", b"x")
    inner = await folder(fs, b"inner", await folder(fs, b"d"))
    parent = (await fs.lookup(ROOT_INODE, b"d")).inode
    with pytest.raises(NoSuchEntry):
        await fs.rename(ROOT_INODE, b"f", ROOT_INODE, b"absent", RenameFlags.EXCHANGE)
    await fs.rename(ROOT_INODE, b"f", parent, b"inner", RenameFlags.EXCHANGE)
    assert (await fs.lookup(ROOT_INODE, b"f")).inode == inner
    assert (await fs.lookup(parent, b"inner")).inode == file


# Content -------------------------------------------------------------------------------------


async def test_reads_end_where_the_file_ends(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"0123456789")
    opened = await fs.open(inode, os.O_RDONLY, ME)
    assert bytes(await fs.read(opened.handle, 8, 10)) == b"89"
    assert bytes(await fs.read(opened.handle, 10, 10)) == b""
    assert bytes(await fs.read(opened.handle, 1 << 40, 10)) == b""
    await fs.release(opened.handle)


async def test_a_gap_reads_as_zeros(fs: FileSystem) -> None:
    opened, made = await fs.create(ROOT_INODE, b"f", 0o644, os.O_RDWR, ME)
    await fs.write(opened.handle, 5000, b"end")
    await fs.write(opened.handle, 0, b"start")
    assert (await fs.get_attributes(made.inode)).size_bytes == 5003
    assert bytes(await fs.read(opened.handle, 0, 9000)) == b"start".ljust(5000, b"\0") + b"end"
    await fs.release(opened.handle)


async def test_writes_land_where_they_were_asked_to(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"aaaaaaaaaa")
    opened = await fs.open(inode, os.O_RDWR, ME)
    await fs.write(opened.handle, 3, b"bbb")
    await fs.write(opened.handle, 5, b"cc")
    assert await get(fs, inode) == b"aaabbccaaa"
    await fs.release(opened.handle)


async def test_appends_of_two_handles_do_not_overwrite(fs: FileSystem) -> None:
    inode = await put(fs, b"log", b"")
    one = await fs.open(inode, os.O_WRONLY | os.O_APPEND, ME)
    two = await fs.open(inode, os.O_WRONLY | os.O_APPEND, ME)
    for handle, data in ((one, b"1"), (two, b"2"), (one, b"3")):
        # The kernel's idea of the end may be old.
        await fs.write(handle.handle, 0, data)
    assert await get(fs, inode) == b"123"
    for handle in (one, two):
        await fs.release(handle.handle)


async def test_truncation_cuts_and_extends(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"0123456789")
    shorter = await fs.set_attributes(inode, AttributeChanges(size_bytes=4), None, ME)
    assert shorter.size_bytes == 4
    await fs.set_attributes(inode, AttributeChanges(size_bytes=8), None, ME)
    assert await get(fs, inode) == b"0123\0\0\0\0"
    opened = await fs.open(inode, os.O_WRONLY | os.O_TRUNC, ME)
    assert (await fs.get_attributes(inode)).size_bytes == 0
    await fs.release(opened.handle)
    with pytest.raises(IsADirectory):
        await fs.set_attributes(ROOT_INODE, AttributeChanges(size_bytes=0), None, ME)


async def test_an_unlinked_open_file_lives_on(fs: FileSystem) -> None:
    opened, made = await fs.create(ROOT_INODE, b"f", 0o644, os.O_RDWR, ME)
    await fs.write(opened.handle, 0, b"before")
    await fs.remove_file(ROOT_INODE, b"f")
    assert await names(fs) == []
    await fs.write(opened.handle, 6, b" after")
    assert bytes(await fs.read(opened.handle, 0, 100)) == b"before after"
    still = await fs.get_attributes(made.inode)
    assert (still.nlink, still.size_bytes) == (0, 12)
    await fs.set_attributes(made.inode, AttributeChanges(size_bytes=3), opened.handle, ME)
    assert bytes(await fs.read(opened.handle, 0, 100)) == b"bef"
    again = await put(fs, b"f", b"another")
    assert again != made.inode
    await fs.release(opened.handle)
    fs.forget([(made.inode, 1)])
    with pytest.raises(NoSuchEntry):
        await fs.get_attributes(made.inode)


async def test_handles_end_with_their_release(fs: FileSystem) -> None:
    opened, _ = await fs.create(ROOT_INODE, b"f", 0o644, os.O_RDWR, ME)
    await fs.fsync(opened.handle, data_only=False)
    await fs.release(opened.handle)
    for call in (fs.read(opened.handle, 0, 1), fs.write(opened.handle, 0, b"x")):
        with pytest.raises(BadHandle):
            await call
    with pytest.raises(FileSystemError):
        await fs.list_folder(Handle(10_000), 0)


# Attributes ----------------------------------------------------------------------------------


async def test_attributes_change_one_by_one(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"x")
    before = await fs.get_attributes(inode)
    changed = await fs.set_attributes(inode, AttributeChanges(mode=0o4711), None, ME)
    assert changed.mode == stat.S_IFREG | 0o4711
    assert changed.mtime_ns == before.mtime_ns
    assert changed.ctime_ns >= before.ctime_ns
    changed = await fs.set_attributes(inode, AttributeChanges(uid=7, gid=8), None, ME)
    assert (changed.uid, changed.gid) == (7, 8)
    assert changed.mtime_ns == before.mtime_ns
    changed = await fs.set_attributes(inode, AttributeChanges(mtime_ns=1_234_567_890), None, ME)
    assert changed.mtime_ns == 1_234_567_890
    assert await fs.get_attributes(inode) == changed


SET_ID = 0o6711
WITHOUT_SET_ID = 0o711
NOBODY = Caller(uid=65_534, gid=65_534, pid=1)
ROOT = Caller(uid=0, gid=0, pid=1)


async def mode_of(fs: FileSystem, inode: Inode) -> int:
    return stat.S_IMODE((await fs.get_attributes(inode)).mode)


async def test_a_new_owner_does_not_inherit_set_id_bits(fs: FileSystem) -> None:
    for changes in (AttributeChanges(uid=7), AttributeChanges(gid=8), AttributeChanges()):
        inode = await put(fs, b"f", b"x")
        await fs.set_attributes(inode, AttributeChanges(mode=SET_ID), None, ROOT)
        await fs.set_attributes(inode, changes, None, ROOT)
        assert await mode_of(fs, inode) == WITHOUT_SET_ID
        await fs.remove_file(ROOT_INODE, b"f")
    made = await fs.make_folder(ROOT_INODE, b"d", 0o2755, ROOT)
    await fs.set_attributes(made.inode, AttributeChanges(gid=8), None, ROOT)
    assert await mode_of(fs, made.inode) == 0o2755, "a folder's is no privilege"


@pytest.mark.parametrize("how", ["write", "truncate", "open"])
async def test_only_root_changes_content_and_leaves_set_id_bits(fs: FileSystem, how: str) -> None:
    for caller, left in ((NOBODY, WITHOUT_SET_ID), (ROOT, SET_ID)):
        inode = await put(fs, b"f", b"x")
        await fs.set_attributes(inode, AttributeChanges(mode=SET_ID), None, ROOT)
        flags = os.O_WRONLY | (os.O_TRUNC if how == "open" else 0)
        opened = await fs.open(inode, flags, caller)
        if how == "write":
            await fs.write(opened.handle, 0, b"y")
        elif how == "truncate":
            await fs.set_attributes(inode, AttributeChanges(size_bytes=0), None, caller)
        assert await mode_of(fs, inode) == left
        await fs.release(opened.handle)
        await fs.remove_file(ROOT_INODE, b"f")


async def test_a_file_counts_its_names_and_a_folder_its_folders(fs: FileSystem) -> None:
    async def nlink(inode: Inode) -> int:
        return (await fs.get_attributes(inode)).nlink

    folder = (await fs.make_folder(ROOT_INODE, b"d", 0o755, ME)).inode
    below = (await fs.make_folder(folder, b"in", 0o755, ME)).inode
    file = await put(fs, b"f", b"x", folder)
    await fs.make_link(file, below, b"g")
    assert [await nlink(inode) for inode in (ROOT_INODE, folder, below, file)] == [3, 3, 2, 2]
    await fs.rename(folder, b"in", ROOT_INODE, b"out", NO_FLAGS)
    assert [await nlink(inode) for inode in (ROOT_INODE, folder)] == [4, 2]
    await fs.rename(folder, b"f", ROOT_INODE, b"out", RenameFlags.EXCHANGE)
    assert [await nlink(inode) for inode in (ROOT_INODE, folder, below, file)] == [3, 3, 2, 2]
    await fs.remove_file(below, b"g")
    await fs.remove_folder(folder, b"f")
    assert [await nlink(inode) for inode in (ROOT_INODE, folder, below, file)] == [3, 2, 0, 1]


async def next_tick() -> None:
    """Return when the clock of files has moved: it stands for up to 10 ms."""
    clock = SystemClock()
    now_ns = clock.wall_ns()
    while clock.wall_ns() == now_ns:
        await trio.lowlevel.checkpoint()


async def test_access_times_are_those_that_were_set(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"x")
    made = await fs.get_attributes(inode)
    opened = await fs.open(inode, os.O_WRONLY, ME)
    await fs.write(opened.handle, 0, b"y")
    await fs.release(opened.handle)
    assert (await fs.get_attributes(inode)).atime_ns == made.atime_ns, "writing reads nothing"
    await fs.set_attributes(inode, AttributeChanges(atime_ns=5), None, ME)
    changed = await fs.get_attributes(inode)
    assert changed.atime_ns == 5
    assert changed.mtime_ns > 5


async def test_a_renamed_node_was_changed_and_not_written(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"x")
    before = await fs.get_attributes(inode)
    await next_tick()
    await fs.rename(ROOT_INODE, b"f", ROOT_INODE, b"g", NO_FLAGS)
    after = await fs.get_attributes(inode)
    assert after.ctime_ns > before.ctime_ns
    assert after.mtime_ns == before.mtime_ns


async def test_extended_attributes_are_kept_and_listed(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"x")
    before = await fs.get_attributes(inode)
    await next_tick()
    await fs.set_xattr(inode, b"user.b", b"2")
    await fs.set_xattr(inode, b"user.a", b"\0\xff")
    await fs.set_xattr(inode, b"user.b", b"")
    assert list(await fs.list_xattrs(inode)) == [b"user.a", b"user.b"]
    assert await fs.get_xattr(inode, b"user.a") == b"\0\xff"
    assert await fs.get_xattr(inode, b"user.b") == b""
    assert (await fs.get_attributes(inode)).ctime_ns > before.ctime_ns
    await fs.remove_xattr(inode, b"user.a")
    for missing in (b"user.a", b"security.capability"):
        with pytest.raises(NoAttribute):
            await fs.get_xattr(inode, missing)
    with pytest.raises(NoAttribute):
        await fs.remove_xattr(inode, b"user.a")
    assert list(await fs.list_xattrs(inode)) == [b"user.b"]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        (b"security.capability", b"x", NotSupported),
        (b"trusted.x", b"x", NotSupported),
        (b"user.", b"x", InvalidArgument),
        (b"user.big", bytes(5000), AttributesFull),
        (b"user." + b"n" * 251, b"x", AttributesFull),
    ],
)
async def test_attributes_that_cannot_be_kept_change_nothing(
    fs: FileSystem, name: bytes, value: bytes, error: type[FileSystemError]
) -> None:
    inode = await put(fs, b"f", b"x")
    with pytest.raises(error):
        await fs.set_xattr(inode, name, value)
    assert list(await fs.list_xattrs(inode)) == []


async def test_times_follow_changes(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"x")
    await fs.set_attributes(inode, AttributeChanges(mtime_ns=1), None, ME)
    await fs.set_attributes(ROOT_INODE, AttributeChanges(mtime_ns=1), None, ME)
    opened = await fs.open(inode, os.O_WRONLY, ME)
    await fs.write(opened.handle, 0, b"y")
    await fs.release(opened.handle)
    assert (await fs.get_attributes(inode)).mtime_ns > 1
    assert (await fs.get_attributes(ROOT_INODE)).mtime_ns == 1
    await fs.remove_file(ROOT_INODE, b"f")
    assert (await fs.get_attributes(ROOT_INODE)).mtime_ns > 1


# Listing -------------------------------------------------------------------------------------


async def _page(
    fs: FileSystem, handle: Handle, position: int, count: int
) -> list[tuple[bytes, int]]:
    """Take `count` entries, as a kernel whose buffer is full then."""
    taken: list[tuple[bytes, int]] = []
    for entry in await fs.list_folder(handle, position):
        if len(taken) == count:
            break
        taken.append((entry.name, entry.position))
    return taken


async def test_a_listing_continues_where_it_stopped(fs: FileSystem) -> None:
    wanted = {b"f%d" % number for number in range(100)}
    for name in wanted:
        await put(fs, name, b"")
    handle = await fs.open_folder(ROOT_INODE)
    seen: list[bytes] = []
    position = 0
    while page := await _page(fs, handle, position, 7):
        seen += [name for name, _ in page]
        position = page[-1][1]
    assert len(seen) == 100
    assert set(seen) == wanted
    assert [name for name, _ in await _page(fs, handle, 0, 100)] == seen, "rewound"
    await fs.release_folder(handle)


async def test_a_listing_survives_changes_meanwhile(fs: FileSystem) -> None:
    staying = {b"s%d" % number for number in range(40)}
    for number in range(40):
        await put(fs, b"s%d" % number, b"")
        await put(fs, b"g%d" % number, b"")
    handle = await fs.open_folder(ROOT_INODE)
    seen: list[bytes] = []
    position = 0
    step = 0
    while page := await _page(fs, handle, position, 5):
        seen += [name for name, _ in page]
        position = page[-1][1]
        for gone in (step, step + 1):
            if gone < 40:
                await fs.remove_file(ROOT_INODE, b"g%d" % gone)
                await put(fs, b"new%d" % gone, b"")
        step += 2
    assert len(seen) == len(set(seen)), "no name twice"
    assert staying <= set(seen), "none that stays is left out"
    await fs.release_folder(handle)


async def test_entries_carry_attributes(fs: FileSystem) -> None:
    inode = await put(fs, b"f", b"four")
    handle = await fs.open_folder(ROOT_INODE)
    (entry,) = await fs.list_folder(handle, 0)
    assert entry.attributes == await fs.get_attributes(inode)
    fs.count_lookup(entry.attributes.inode)
    fs.forget([(inode, 2)])
    await fs.fsync_folder(handle)
    await fs.release_folder(handle)
    assert isinstance(await fs.lookup(ROOT_INODE, b"f"), Attributes)


async def test_statistics_are_sane(fs: FileSystem) -> None:
    statistics = await fs.statistics()
    assert statistics.name_bytes_max == 255
    assert statistics.block_size_bytes >= 512
    assert 0 <= statistics.blocks_free <= statistics.blocks
