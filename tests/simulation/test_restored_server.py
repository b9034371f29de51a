"""The server comes back from a backup: what devices hold of the time since is offered again.

Without that everything which was written since would go from all devices at the reset: the server's
word is all there is of what was not changed here.
"""

import base64
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from sqlalchemy import Connection, select

from backend_server.metadata.tables import drives
from backend_server.services.begin_epoch import BeginEpochs
from simulation.world import Device, World, open_world, start_server


class Backup:
    """Of a server that is stopped for it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._folder = world.folder / "backup"
        self._restores_count = 0
        self._past_epochs: set[bytes] = set()

    async def make(self) -> None:
        self._past_epochs.add(await self._epoch())
        await self.world.server.aclose()
        shutil.copytree(self.world.config.data, self._folder)
        self.world.server = await start_server(self.world.config)

    async def restore(self, *, is_said: bool = True) -> None:
        self._past_epochs.add(await self._epoch())
        self._restores_count += 1
        await self.world.server.aclose()
        shutil.rmtree(self.world.config.data)
        shutil.copytree(self._folder, self.world.config.data)
        self.world.server = await start_server(self.world.config)
        if is_said:
            now_ms = 1_800_000_000_000 + self._restores_count
            begin = BeginEpochs(self.world.server.database, clock_ms=lambda: now_ms)
            assert await begin() == 1

    async def rest(self, *devices: Device) -> dict[str, bytes | None]:
        """Wait until the devices have found the restored server and come to rest; return what they
        show, which must be one thing."""
        for device in devices:
            device.sync.hint()
            with trio.fail_after(_FOUND_S):
                while _epoch_of(device.state.cursor) in self._past_epochs:  # noqa: ASYNC110
                    await trio.sleep(1)
        await self.world.come_to_rest(devices)
        shown = [await device.tree() for device in devices]
        for each in shown[1:]:
            assert each == shown[0]
        return shown[0]

    async def _epoch(self) -> bytes:
        def load(connection: Connection) -> str:
            return str(connection.execute(select(drives.c.epoch)).scalar_one())

        return (await self.world.server.database.read(load)).encode()


@asynccontextmanager
async def backed_up(
    folder: Path, files: Mapping[str, bytes]
) -> AsyncIterator[tuple[Backup, Device, Device]]:
    """Two devices of a drive with these files, of which there is a backup."""
    async with open_world(folder) as world:
        a, b = await world.device("a"), await world.device("b")
        for path, content in files.items():
            await a.write(path, content)
        await world.quiet()
        backup = Backup(world)
        await backup.make()
        yield backup, a, b


def _epoch_of(cursor: str) -> bytes:
    return base64.urlsafe_b64decode(cursor)[:16]


_FOUND_S = 300


@pytest.mark.parametrize("is_said", [True, False])
async def test_what_was_written_since_comes_back(
    autojump_clock: object, tmp_path: Path, is_said: bool
) -> None:
    async with open_world(tmp_path) as world:
        a = await world.device("a")
        await a.mkdir("letters")
        await a.write("letters/old", b"old")
        await a.write("letters/kept", b"kept")
        await a.write("letters/emptied", b"not empty yet")
        await a.settled()
        backup = Backup(world)
        await backup.make()
        await trio.sleep(10)
        await a.write("letters/old", b"edited since")
        await a.write("letters/emptied", b"")
        await a.mkdir("letters/new")
        await a.write("letters/new/made", b"made since")
        await a.write("letters/empty", b"")
        await a.symlink("letters/way", "kept")
        await a.chmod("letters/kept", 0o600)
        await a.settled()
        inode = await a.find("letters/new/made")
        before = await a.tree()
        times = {path: (await a.stat(path)).mtime_ns for path in before}
        await backup.restore(is_said=is_said)
        assert await backup.rest(a) == before
        assert await a.find("letters/new/made") == inode, "programs have it open"
        fresh = await world.device("fresh")
        assert await fresh.tree() == before
        assert (await fresh.stat("letters/kept")).mode & 0o777 == 0o600
        for path in ("letters/old", "letters/emptied", "letters/kept", "letters/new/made"):
            assert (await fresh.stat(path)).mtime_ns == times[path], path


async def test_two_devices_offer_the_same(autojump_clock: object, tmp_path: Path) -> None:
    async with backed_up(tmp_path, {"file": b"old"}) as (backup, a, b):
        await a.write("file", b"edited since")
        await a.mkdir("folder")
        await b.write("made", b"made since")
        await backup.world.quiet()
        before = await a.tree()
        assert before == await b.tree()
        await backup.restore()
        assert await backup.rest(a, b) == before, "and no copies"


async def test_what_others_wrote_of_a_disputed_file_is_offered_too(
    autojump_clock: object, tmp_path: Path
) -> None:
    """It is in nothing that was written here, and the mirror is all that has it."""
    async with backed_up(tmp_path, {"file": b"one\ntwo\nthree\n"}) as (backup, a, b):
        a.transport.is_cut = True
        await a.write("file", b"ONE\ntwo\nthree\n")
        await b.write("file", b"one\ntwo\nTHREE\n")
        await b.settled()
        a.contents.is_unreadable = True  # so that the merge waits
        a.transport.is_cut = a.transport.brings_no_blocks = False
        hold = trio.Event()
        a.contents.during_merge = hold.wait
        a.contents.is_unreadable = False
        a.sync.hint()
        await trio.sleep(30)
        assert a.state.disputes.bases
        b.transport.is_cut = True
        await backup.restore()
        shown = await backup.rest(a)
        hold.set()
        assert set(shown.values()) == {b"ONE\ntwo\nthree\n", b"one\ntwo\nTHREE\n"}


async def only_edit(device: Device) -> None:
    await device.patch("file", 0, b"E")


async def save_over(device: Device) -> None:
    await device.write("file~", b"saved over")
    await device.rename("file~", "file")


async def test_an_edit_follows_on_what_another_device_offered_first(
    autojump_clock: object, tmp_path: Path
) -> None:
    async with backed_up(tmp_path, {"file": b"\0 old"}) as (backup, a, b):
        await a.write("file", b"\0 edited since")
        await backup.world.quiet()
        await b.read("file")
        b.transport.is_cut = True
        await b.patch("file", 2, b"E")
        await backup.restore()
        await backup.rest(a)
        b.transport.is_cut = False
        assert await backup.rest(a, b) == {"file": b"\0 Edited since"}


@pytest.mark.parametrize(
    ("edit", "expected"), [(only_edit, b"Edited since"), (save_over, b"saved over")]
)
async def test_an_edit_that_was_not_sent_follows_on_what_was_lost(
    autojump_clock: object,
    tmp_path: Path,
    edit: Callable[[Device], Awaitable[None]],
    expected: bytes,
) -> None:
    async with backed_up(tmp_path, {"file": b"old"}) as (backup, a, _):
        await a.write("file", b"edited since")
        await a.settled()
        await a.read("file")
        a.transport.is_cut = True
        await edit(a)
        await backup.restore()
        a.transport.is_cut = False
        assert await backup.rest(a) == {"file": expected}


async def test_both_are_kept_where_the_file_was_edited_since_the_restore(
    autojump_clock: object, tmp_path: Path
) -> None:
    async with backed_up(tmp_path, {"file": b"old"}) as (backup, a, b):
        b.transport.is_cut = True  # it never hears of the time that is lost
        await a.write("file", b"since the backup")
        await a.settled()
        a.transport.is_cut = True
        await backup.restore()
        b.transport.is_cut = False
        await b.write("file", b"since the restore")
        await b.settled()
        a.transport.is_cut = False
        shown = await backup.rest(a, b)
        assert set(shown.values()) == {b"since the backup", b"since the restore"}
        assert shown["file"] == b"since the restore"


async def test_a_removal_since_the_restore_holds_but_for_what_was_edited(
    autojump_clock: object, tmp_path: Path
) -> None:
    async with backed_up(
        tmp_path, {"edited": b"old", "same": b"same", "chmod": b"only its mode"}
    ) as (backup, a, b):
        b.transport.is_cut = True
        await a.write("edited", b"since the backup")
        await a.chmod("chmod", 0o600)
        await a.settled()
        a.transport.is_cut = True
        await backup.restore()
        b.transport.is_cut = False
        for name in ("edited", "same", "chmod"):
            await b.unlink(name)
        await b.settled()
        a.transport.is_cut = False
        assert await backup.rest(a, b) == {"edited": b"since the backup"}


async def test_what_is_not_whole_here_is_left_to_who_has_it(
    autojump_clock: object, tmp_path: Path
) -> None:
    async with backed_up(tmp_path, {"file": b"old"}) as (backup, a, b):
        await a.write("file", b"since the backup")
        await a.write("made", b"made since")
        await backup.world.quiet()
        b.contents.evict()
        a.transport.is_cut = True
        await backup.restore()
        assert await backup.rest(b) == {"file": b"old"}, "nobody else is here"
        a.transport.is_cut = False
        assert await backup.rest(a, b) == {"file": b"since the backup", "made": b"made since"}


@pytest.mark.parametrize("name", ["file", "made"])
async def test_an_edit_waits_for_the_device_that_has_what_was_edited(
    autojump_clock: object, tmp_path: Path, name: str
) -> None:
    async with backed_up(tmp_path, {"file": b"\0 old"}) as (backup, a, b):
        await a.write(name, b"\0 since the backup")
        await backup.world.quiet()
        b.contents.evict()
        a.transport.is_cut = b.transport.is_cut = True
        await b.patch(name, 2, b"S")
        await backup.restore()
        b.transport.is_cut = False
        b.sync.hint()
        await trio.sleep(200)
        assert b.state.parking.codes, "it has only what it wrote"
        a.transport.is_cut = False
        shown = await backup.rest(a, b)
        assert shown[name] == b"\0 Since the backup"
        assert set(shown) == {"file", name}, "and no copies"
        await b.patch(name, 0, b"1")
        await backup.world.come_to_rest()
        assert (await a.tree())[name] == b"1 Since the backup"


@pytest.mark.parametrize("is_killed", [False, True])
async def test_what_is_offered_is_not_evicted_before_it_is_sent(
    autojump_clock: object, tmp_path: Path, *, is_killed: bool
) -> None:
    async with backed_up(tmp_path, {"file": b"old"}) as (backup, a, _):
        await a.write("file", b"since the backup")
        await a.write("made", b"made since")
        await a.settled()
        await backup.restore()
        a.contents.failures_left = 1000
        a.sync.hint()
        await trio.sleep(20)
        assert a.sync.pending_count
        if is_killed:
            await a.kill()
            await a.start()
        a.contents.evict()
        a.contents.failures_left = 0
        assert await backup.rest(a) == {"file": b"since the backup", "made": b"made since"}
        a.contents.evict()
        assert not a.cached, "nothing is held for longer than that"


async def test_a_batch_that_was_answered_before_is_not_taken_for_made(
    autojump_clock: object, tmp_path: Path
) -> None:
    async with backed_up(tmp_path, {"file": b"old"}) as (backup, a, _):
        a.transport.lose_answers = 1
        await a.write("file", b"committed, and never answered")
        while a.transport.lose_answers:  # noqa: ASYNC110
            await trio.sleep(0.01)
        a.transport.is_cut = True
        await backup.restore()
        a.transport.is_cut = False
        assert await backup.rest(a) == {"file": b"committed, and never answered"}


async def test_it_happens_twice(autojump_clock: object, tmp_path: Path) -> None:
    """A device that was away meanwhile is told of both times at once."""
    async with backed_up(tmp_path, {"first": b"old"}) as (backup, a, b):
        await a.write("first", b"a: edited since")
        await b.write("second", b"b: made since")
        await backup.world.quiet()
        a.transport.is_cut = True
        await backup.restore()
        await backup.rest(b)
        await b.write("third", b"b: between")
        await b.settled()
        await backup.restore()
        await backup.rest(b)
        a.transport.is_cut = False
        assert await backup.rest(a, b) == {
            "first": b"a: edited since", "second": b"b: made since", "third": b"b: between",
        }  # fmt: skip
