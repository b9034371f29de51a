"""Several devices and one server through a storm: everything of one seed, and the laws at its end.

`weather` is what happens to everybody: links cut and lossy, devices killed at any await, the server
killed at any await or restored from a backup, caches emptied, disks full, journals compacted,
leases over, devices revoked and logged in again. The laws: all devices and a new one show the same,
of everything written nothing is missing, no time runs backwards on any device, and the server's
books are right.
"""

import base64
import os
import random
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import trio
import trio._core._run as trio_run
from sqlalchemy import select

from backend_server.metadata.tables import drives
from backend_server.protocol.identity import DeviceId
from backend_server.protocol.limits import UPLOAD_LEASE_S
from backend_server.protocol.manifests import unpack_entries
from backend_server.services.begin_epoch import BeginEpochs
from backend_server.services.compact_journal import CompactJournal
from backend_server.services.reap_uploads import ReapUploads
from mountfs.core.back_pressure import DEFAULT_STAGING_LIMIT_BYTES
from mountfs.errors import Corruption, LocalStorageFull, Unavailable
from mountfs.vfs.interface import AttributeChanges, Inode, RenameFlags
from simulation.network import Incarnation, StormyLink
from simulation.storm_laws import calm_down, check_laws
from simulation.work import NAMES, TEXT, Action, Work
from simulation.world import CALLER, Device, TrioClock, World, open_world, start_server

DEVICES: Final = ("one", "two", "three")
STEPS_A_TURN: Final = 4
READING_TRIES_MAX: Final = 50
_FOUND_S: Final = 600


@dataclass
class Storm:
    """What one seed does. `trace` is the same for the same seed."""

    seed: int
    steps: int = 80
    is_taking_turns: bool = False
    """One device works at a time, and everybody rests between: then there are no conflicts."""
    trace: list[str] = field(default_factory=list)

    def tell(self, what: str) -> None:
        self.trace.append(f"{trio.current_time():.6f} {what}")


class StormyWork(Work):
    """More that programs do, and more that goes wrong."""

    def __init__(self, storm: Storm, world: World, devices: list[Device]) -> None:
        super().__init__(world, devices, random.Random(storm.seed))
        self._storm = storm
        self._revisions: dict[str, dict[int, int]] = {device.name: {} for device in devices}
        self._steps_done = 0
        self.incarnation = Incarnation()
        self.revoked: set[str] = set()
        self._backup = world.folder / "backup"
        self._written_since: set[bytes] | None = None
        """Tokens that a restored server need not have; None: there is no backup."""
        self._restores_count = 0
        self._epoch = b""
        """Of the server that was restored last; cursors begin with it."""

    @property
    def actions(self) -> list[tuple[int, Action]]:
        calm = [
            *((weight, action) for weight, action in super().actions if action not in (
                self._cut, self._heal, self._lose_answer, self._kill, self._cut_blocks)),
            (4, self._append), (2, self._exchange), (2, self._set_times), (1, self._set_xattr),
            (1, self._symlink), (1, self._make_fifo), (1, self._truncate), (1, self._evict),
        ]  # fmt: skip
        if self._storm.is_taking_turns:
            return calm
        return [
            *calm, (2, self._cut), (4, self._heal), (1, self._kill), (1, self._cut_blocks),
            (1, self._kill_server), (1, self._compact), (1, self._revoke), (1, self._storm_or_calm),
            (1, self._reap), (1, self._inline_or_upload), (1, self._fill_disk),
            (2, self._free_disk), (3, self._back_up), (2, self._restore),
        ]  # fmt: skip

    def _whose_turn(self) -> Device:
        if self._storm.is_taking_turns:
            return self._devices[self._steps_done // STEPS_A_TURN % len(self._devices)]
        return super()._whose_turn()

    async def step(self) -> None:
        before = set(self.written)
        # What is to be read first is not here, and nobody to ask; the disk is full.
        # A revision that a restored server does not have is not read before the reset.
        with suppress(Unavailable, LocalStorageFull, Corruption):
            await super().step()
        if self._written_since is not None:
            self._written_since |= self.written - before
        self._steps_done += 1
        self.check_time()

    def check_time(self) -> None:
        """No device may see a file's older revision after a newer one."""
        for device in self._devices:
            seen = self._revisions[device.name]
            if self._epoch and _epoch_of(device) != self._epoch:
                seen.clear()  # it does not know yet that time began anew
                continue
            for record in device.state.mirror.all_nodes():
                assert record.revision >= seen.get(record.node_id, 0), (
                    f"{device.name} went back to revision {record.revision} of {record.node_id}"
                )
                seen[record.node_id] = record.revision

    # Work ------------------------------------------------------------------------------------

    async def _append(self, device: Device) -> None:
        path, token = self._path(), self._token(device)
        old = await self._read(device, path)
        opened = await device.fs.open(await device.find(path), os.O_WRONLY | os.O_APPEND, CALLER)
        await device.fs.write(opened.handle, len(old), token)
        await device.fs.release(opened.handle)
        self.written.add(token)

    async def _exchange(self, device: Device) -> None:
        path, other = self._path(), self._path()
        (folder, _, name), (to, _, to_name) = path.rpartition("/"), other.rpartition("/")
        await device.fs.rename(
            await device.find(folder), name.encode(), await device.find(to), to_name.encode(),
            RenameFlags.EXCHANGE,
        )  # fmt: skip

    async def _set_times(self, device: Device) -> None:
        await device.utime(self._path(), self._chance.randrange(10**18))

    async def _set_xattr(self, device: Device) -> None:
        inode = await device.find(self._path())
        await device.fs.set_xattr(inode, b"user.n", b"%d" % self._chance.randrange(5))

    async def _symlink(self, device: Device) -> None:
        await device.symlink(self._path(), self._chance.choice(NAMES))

    async def _make_fifo(self, device: Device) -> None:
        folder, _, name = self._path().rpartition("/")
        parent = await device.find(folder)
        await device.fs.make_node(parent, name.encode(), stat.S_IFIFO | 0o600, 0, CALLER)

    async def _truncate(self, device: Device) -> None:
        path = self._path()
        old = await self._seen(device, path)
        inode = await device.find(path)
        await device.fs.set_attributes(inode, AttributeChanges(size_bytes=0), None, CALLER)
        self.given_up |= old

    async def _read(self, device: Device, path: str) -> bytes:
        """Read until what was read is what is there: reading may wait for the server."""
        for _ in range(READING_TRIES_MAX):
            before = self._state_of(device, await device.find(path))
            content = await device.read(path)
            if before == self._state_of(device, await device.find(path)):
                return content
        raise Unavailable("it changes all the time")

    def _state_of(self, device: Device, inode: Inode) -> object:
        node_id = device.node_of(inode)
        overlay = device.state.overlays.get(node_id)
        record = device.state.tree.node(node_id)
        return (
            node_id, record and record.revision, overlay and (overlay.touched, overlay.source)
        )  # fmt: skip

    # Weather ---------------------------------------------------------------------------------

    async def _evict(self, device: Device) -> None:
        device.contents.evict()

    async def _storm_or_calm(self, device: Device) -> None:
        link = cast(StormyLink, device.transport)
        link.is_stormy = not link.is_stormy

    async def _kill(self, device: Device) -> None:
        await device.kill()
        await self.start(device)

    async def start(self, device: Device) -> None:
        """Start a device; the link must be there for it, as this harness asks for the drive."""
        link = cast(StormyLink, device.transport)
        was = (link.is_cut, link.is_stormy, link.brings_no_blocks)
        link.is_cut = link.is_stormy = link.brings_no_blocks = False
        await device.start()
        link.is_cut, link.is_stormy, link.brings_no_blocks = was

    async def _kill_server(self, device: Device) -> None:
        async with self._server_stopped("killed"):
            await trio.sleep(self._chance.choice((0.0, 2.0, 30.0)))
        await self.come_back()

    async def come_back(self) -> None:
        """Log in again where that was refused."""
        for device in self._devices:
            if device.name in self.revoked:
                self.revoked.discard(device.name)
                await device.kill()
                device.forget_login()
                await self.start(device)

    async def _compact(self, device: Device) -> None:
        self._storm.tell("the journal is compacted")
        compact = CompactJournal(
            self._world.server.database,
            clock_ms=lambda: TrioClock().wall_ns() // 10**6,
            keep_ms=self._chance.choice((0, 1000, 60_000)),
        )
        await compact()

    async def _reap(self, device: Device) -> None:
        """Every lease is over, also those of uploads that are on their way."""
        self._storm.tell("uploads are reaped")
        late_ms = int((UPLOAD_LEASE_S + 1) * 1000)
        reap = ReapUploads(
            self._world.server.database,
            clock_ms=lambda: TrioClock().wall_ns() // 10**6 + late_ms,
            clock_s=trio.current_time,
        )
        await reap()

    async def _inline_or_upload(self, device: Device) -> None:
        device.is_announcing = device.contents.is_announcing = not device.is_announcing

    async def _fill_disk(self, device: Device) -> None:
        """What waits for the server may take no more room than it has."""
        overlays = device.state.overlays
        overlays.staging_limit_bytes = overlays.dirty_bytes + self._chance.choice((0, 20, 200))

    async def _free_disk(self, device: Device) -> None:
        device.state.overlays.staging_limit_bytes = DEFAULT_STAGING_LIMIT_BYTES

    async def _back_up(self, device: Device) -> None:
        """An admin copies what the server has, while it is stopped. All that was written is there:
        so it is known what a restored server may lack."""
        if any(each.sync.pending_count for each in self._devices):
            return
        async with self._server_stopped("backed up"):
            shutil.rmtree(self._backup, ignore_errors=True)
            shutil.copytree(self._world.config.data, self._backup)
        self._written_since = set()

    async def _restore(self, device: Device) -> None:
        """The server comes back from the backup: a new epoch, in which nobody's cursor is."""
        if self._written_since is None:
            return
        async with self._server_stopped("restored"):
            shutil.rmtree(self._world.config.data)
            shutil.copytree(self._backup, self._world.config.data)
        self._restores_count += 1
        now_ms = TrioClock().wall_ns() // 10**6 + self._restores_count
        database = self._world.server.database
        await BeginEpochs(database, clock_ms=lambda: now_ms)()
        drive = await database.read(lambda connection: connection.execute(select(drives)).one())
        self._epoch = drive.epoch.encode()
        # What had been given up may be there again.
        for seen in self._revisions.values():
            seen.clear()
        held = {token for each in self._devices for token in _tokens_whole_on(each)}
        self.revoked |= {each.name for each in self._devices}  # a later login may be forgotten
        await self.come_back()
        if self._chance.random() < 0.5:
            # Before anything is evicted here.
            await self._all_found_it()
            self.given_up |= self._written_since - held
        else:
            self.given_up |= self._written_since

    async def _all_found_it(self) -> None:
        """Return when every device has taken the restored server's tree."""
        for device in self._devices:
            link = cast(StormyLink, device.transport)
            link.is_cut = link.brings_no_blocks = False
            device.sync.hint()
        with trio.fail_after(_FOUND_S):
            while any(_epoch_of(device) != self._epoch for device in self._devices):  # noqa: ASYNC110
                await trio.sleep(1)

    @asynccontextmanager
    async def _server_stopped(self, why: str) -> AsyncIterator[None]:
        self._storm.tell(f"the server is {why}")
        self.incarnation.kill()
        await self._world.server.aclose()
        yield
        self._world.server = await start_server(self._world.config)
        self.incarnation = Incarnation()

    async def _revoke(self, device: Device) -> None:
        """An admin throws the device out; its owner logs in again with what is still on it."""
        self._storm.tell(f"{device.name} is revoked")
        caller = await self._world.caller_of(device)
        await self._world.server.use_cases.revoke_device(caller, DeviceId(caller.device_id))
        self.revoked.add(device.name)
        await trio.sleep(self._chance.choice((0.1, 5.0)))
        await self.come_back()


def _epoch_of(device: Device) -> bytes:
    return base64.urlsafe_b64decode(device.state.cursor[:24])[:16]


def _tokens_whole_on(device: Device) -> Iterator[bytes]:
    """Yield what is in files that the server had, as far as the device has all of them here."""
    for record in device.state.mirror.all_nodes():
        chunks = [device.cached.get(entry.chunk_id) for entry in unpack_entries(record.entries)]
        if None not in chunks:
            yield from b"".join(chunk or b"" for chunk in chunks).splitlines(keepends=True)


async def weather(storm: Storm, folder: Path) -> None:
    """Go through one storm. Raises AssertionError with what was not kept."""
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r.seed(storm.seed)
    async with open_world(folder) as world:
        work: StormyWork | None = None
        first = Incarnation()

        def make_link(to: object, seed: int) -> StormyLink:
            return StormyLink(
                to,  # type: ignore[arg-type]
                chance=random.Random(storm.seed * 1000 + seed),
                server=lambda: first if work is None else work.incarnation,
                tell=lambda what: storm.tell(f"device {seed} {what}"),
            )

        world.make_link = make_link
        devices = []
        for name in DEVICES:
            device = world.new_device(name)
            cast(StormyLink, device.transport).is_stormy = False
            await device.start()
            devices.append(device)
        await devices[0].write(TEXT, b"".join(b"line %d\n" % number for number in range(20)))
        await world.quiet()
        work = StormyWork(storm, world, devices)
        for device in devices:
            cast(StormyLink, device.transport).is_stormy = not storm.is_taking_turns
        for number in range(storm.steps):
            storm.tell(f"step {number}")
            await work.step()
            if storm.is_taking_turns and number % STEPS_A_TURN == STEPS_A_TURN - 1:
                await world.quiet()
        await calm_down(world, work, devices)
        await check_laws(
            world, work, devices, steps=storm.steps, is_taking_turns=storm.is_taking_turns
        )


def headline(error: BaseException) -> str:
    """Return the first line that says what was not kept."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
