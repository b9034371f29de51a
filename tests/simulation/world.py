"""A drive with several devices in one event loop: everything but the kernel and the network card.

Each device has its own state folder, its own `DriveFileSystem` and `DriveSync`; all talk to the
real server, called in process. A device can be killed at any await: its tasks are cancelled and
its state is opened anew from what is on disk.
"""

import os
import random
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import trio
import trio.testing
from sqlalchemy import Connection, select

from backend_server.app import ServerApp, build_app, in_process_seams
from backend_server.cli.initialise import initialise
from backend_server.config import ServerConfig
from backend_server.domain.caller import Caller as ServerCaller
from backend_server.metadata.connections import Connections
from backend_server.metadata.executors import Executor, InlineExecutor
from backend_server.metadata.tables import revisions
from backend_server.protocol.account_messages import DriveInfo, SessionRequest
from backend_server.protocol.identity import (
    DriveId,
)
from backend_server.protocol.limits import DEFAULT_QUOTA_BYTES
from mountfs.core.back_pressure import DEFAULT_STAGING_LIMIT_BYTES
from mountfs.errors import MountError
from mountfs.state.store import StateStore
from mountfs.sync.drive_sync import DriveSync
from mountfs.transport.client import ServerClient
from mountfs.vfs.attributes import Ownership
from mountfs.vfs.file_system import DriveFileSystem
from mountfs.vfs.interface import AttributeChanges, Attributes, Caller, Inode, RenameFlags
from simulation.small_contents import SmallContents

CALLER = Caller(uid=0, gid=0, pid=1)
_ROUNDS_MAX = 20
_REST_S = 300
PASSWORD = "correct horse battery"
EMAIL = "ada@example.org"


class TrioClock:
    """Monotonic time is the event loop's, so that an autojump clock moves both.

    `wrong_by_ns`: how far from the truth somebody set the wall clock.
    """

    START_NS: Final = 1_760_000_000_000_000_000

    def __init__(self) -> None:
        self.wrong_by_ns = 0

    def wall_ns(self) -> int:
        return self.START_NS + int(trio.current_time() * 1e9) + self.wrong_by_ns

    def monotonic_s(self) -> float:
        return trio.current_time() + 1.0


class RecordingKernel:
    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes]] = []
        self.contents: list[int] = []

    def invalidate_content(self, inode: Inode) -> None:
        self.contents.append(inode)

    def invalidate_attributes(self, inode: Inode) -> None:
        pass

    def invalidate_attributes_now(self, inode: Inode) -> None:
        pass

    def invalidate_entry(self, parent: Inode, name: bytes) -> None:
        self.entries.append((parent, name))


class Device:
    """One login of the account; `start` it, `stop` it, look at its files."""

    def __init__(self, world: "World", name: str, seed: int) -> None:
        self.name = name
        self._world = world
        self._folder = world.folder / name
        self._random = random.Random(seed)
        self._seed = seed + 1
        self._starts_count = 0
        self.is_announcing = False
        self.token = ""
        self._scope: trio.CancelScope | None = None
        self.is_merging = True
        self.clock = TrioClock()
        self._drive: DriveInfo | None = None
        self.cached: dict[bytes, bytes] = {}
        """Chunks; like a cache on a disk, they outlive the process."""
        self.staging_limit_bytes = DEFAULT_STAGING_LIMIT_BYTES
        self.transport = world.make_link(httpx.ASGITransport(world.answer), seed)

    async def start(self) -> None:
        client = ServerClient(
            "http://s", self.token or None, http_transport=self.transport, jitter=lambda: 1.0
        )
        if not self.token:
            answer = await client.log_in(SessionRequest(EMAIL, PASSWORD, self.name))
            self.token = answer.token
            client = ServerClient(
                "http://s", self.token, http_transport=self.transport, jitter=lambda: 1.0
            )
        self.client = client
        if self._drive is None or not self.transport.is_cut:
            self._drive = (await client.account()).drives[0]
        drive = self._drive
        self.state = StateStore.open(
            self._folder,
            DriveId(drive.drive_id),
            clock=self.clock,
            staging_limit_bytes=self.staging_limit_bytes,
        )
        world_cache = self._world.shared_cache
        self._starts_count += 1
        uploads = (self._seed << 48) + (self._starts_count << 32)
        cached = self.cached if world_cache is None else world_cache
        contents = SmallContents(client, drive, cached, uploads)
        contents.is_announcing = self.is_announcing
        self.contents = contents
        self.kernel = RecordingKernel()
        new_node_id = lambda: self._random.getrandbits(62) + (1 << 20)  # noqa: E731
        self.sync = DriveSync(
            self.state, client, contents, contents, device_name=self.name,
            is_merging=self.is_merging, new_node_id=new_node_id,
            on_view_changes=lambda changes: self.fs.apply_view_changes(changes),
            on_online=self._set_online, jitter=random.Random(1),
        )  # fmt: skip
        self.fs = DriveFileSystem(
            self.state, contents, self.kernel, ownership=Ownership(), is_read_only=False,
            new_node_id=new_node_id, on_local_change=self.sync.local_change,
        )  # fmt: skip
        self._world.nursery.start_soon(self._run)
        await self.sync.has_mirror.wait()

    async def _run(self) -> None:
        with trio.CancelScope() as self._scope:
            try:
                await self.sync.run()
            finally:
                self.state.close()

    def forget_login(self) -> None:
        """The next start logs in anew, as another device of the server's."""
        self.token = ""

    def _set_online(self, is_online: bool) -> None:
        self.fs.space.is_online = is_online

    async def kill(self) -> None:
        """What was not in the state folder is lost. Starts again with `start`."""
        assert self._scope is not None
        self._scope.cancel()
        await trio.testing.wait_all_tasks_blocked()

    # Files, by path --------------------------------------------------------------------------

    async def find(self, path: str) -> Inode:
        inode = Inode(1)
        for name in path.split("/"):
            if name:
                inode = (await self.fs.lookup(inode, name.encode())).inode
        return inode

    async def write(self, path: str, data: bytes) -> None:
        """open(O_CREAT | O_TRUNC), write, close."""
        folder, _, name = path.rpartition("/")
        parent = await self.find(folder)
        try:
            inode = (await self.fs.lookup(parent, name.encode())).inode
            opened = await self.fs.open(inode, os.O_WRONLY | os.O_TRUNC, CALLER)
        except MountError:
            opened, _ = await self.fs.create(
                parent, name.encode(), stat.S_IFREG | 0o644, os.O_WRONLY, CALLER
            )
        await self.fs.write(opened.handle, 0, data)
        await self.fs.release(opened.handle)

    async def read(self, path: str) -> bytes:
        opened = await self.fs.open(await self.find(path), os.O_RDONLY, CALLER)
        try:
            return bytes(await self.fs.read(opened.handle, 0, 1 << 20))
        finally:
            await self.fs.release(opened.handle)

    async def mkdir(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        await self.fs.make_folder(await self.find(folder), name.encode(), 0o755, CALLER)

    async def unlink(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        await self.fs.remove_file(await self.find(folder), name.encode())

    async def rmdir(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        await self.fs.remove_folder(await self.find(folder), name.encode())

    async def rename(self, path: str, to: str) -> None:
        (folder, _, name), (to_folder, _, to_name) = path.rpartition("/"), to.rpartition("/")
        await self.fs.rename(
            await self.find(folder), name.encode(), await self.find(to_folder), to_name.encode(),
            RenameFlags.NONE,
        )  # fmt: skip

    async def link(self, path: str, to: str) -> None:
        folder, _, name = to.rpartition("/")
        await self.fs.make_link(await self.find(path), await self.find(folder), name.encode())

    async def symlink(self, path: str, target: str) -> None:
        folder, _, name = path.rpartition("/")
        await self.fs.make_symlink(await self.find(folder), name.encode(), target.encode(), CALLER)

    async def patch(self, path: str, offset: int, data: bytes) -> None:
        """open, pwrite, close."""
        opened = await self.fs.open(await self.find(path), os.O_WRONLY, CALLER)
        await self.fs.write(opened.handle, offset, data)
        await self.fs.release(opened.handle)

    async def chmod(self, path: str, mode: int) -> None:
        await self._set(path, AttributeChanges(mode=mode))

    async def utime(self, path: str, mtime_ns: int) -> None:
        await self._set(path, AttributeChanges(mtime_ns=mtime_ns))

    async def _set(self, path: str, changes: AttributeChanges) -> None:
        await self.fs.set_attributes(await self.find(path), changes, None, CALLER)

    async def stat(self, path: str) -> Attributes:
        return await self.fs.get_attributes(await self.find(path))

    async def tree(self) -> dict[str, bytes | None]:
        """Every path, with its bytes; None for a folder, a symlink's target, a FIFO's mode."""
        found: dict[str, bytes | None] = {}

        async def walk(inode: Inode, prefix: str) -> None:
            handle = await self.fs.open_folder(inode)
            for entry in list(await self.fs.list_folder(handle, 0)):
                path = f"{prefix}{entry.name.decode()}"
                if stat.S_ISDIR(entry.attributes.mode):
                    found[path] = None
                    await walk(entry.attributes.inode, path + "/")
                elif stat.S_ISLNK(entry.attributes.mode):
                    found[path] = await self.fs.read_link(entry.attributes.inode)
                elif not stat.S_ISREG(entry.attributes.mode):
                    found[path] = b"%o" % entry.attributes.mode
                else:
                    found[path] = await self.read(path)
            await self.fs.release_folder(handle)

        await walk(Inode(1), "")
        return found

    def node_of(self, inode: Inode) -> int:
        return self.state.inodes.node_of(inode)

    async def settled(self) -> None:
        """Return when the server has everything of this device, and it everything of the server."""
        await self.sync.sync_now()


class Link(httpx.AsyncBaseTransport):
    """Carries requests to the server in process; can be cut before or after the server acts."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.is_cut = False
        self.brings_no_blocks = False
        """The feed comes, contents do not."""
        self.lose_answers = 0
        self.requests_count = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests_count += 1
        is_fetch = request.url.path.endswith("/fetch")
        if self.is_cut or (self.brings_no_blocks and is_fetch):
            raise httpx.ConnectError("cut")
        response = await self._inner.handle_async_request(request)
        if self.lose_answers and request.url.path.endswith("/commits"):
            self.lose_answers -= 1
            raise httpx.ReadError("the answer is lost")
        if self.is_cut:
            raise httpx.ReadError("cut")
        return response


class World:
    def __init__(self, folder: Path, server: ServerApp, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.config = ServerConfig(
            data=folder / "server", master_key_file=folder / "server" / "master.key"
        )
        self.server = server
        self.nursery = nursery
        self.shared_cache: dict[bytes, bytes] | None = None
        """Chunks that every device holds, so that all can be read offline."""
        self.make_link: Callable[[httpx.AsyncBaseTransport, int], Link] = lambda to, seed: Link(to)
        self._devices: list[Device] = []

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application of the server that runs now."""
        await self.server.asgi(scope, receive, send)

    def new_device(self, name: str) -> Device:
        """Return a device that is not started yet."""
        device = Device(self, name, seed=len(self._devices))
        self._devices.append(device)
        return device

    async def device(self, name: str) -> Device:
        device = self.new_device(name)
        await device.start()
        return device

    async def caller_of(self, device: Device) -> ServerCaller:
        """Return the device as the server knows it."""
        return await self.server.use_cases.authenticate(device.token)

    async def revisions(self) -> list[tuple[int, int, int]]:
        """(node, revision, merged from) of every content that the server was given, in order."""

        def load(connection: Connection) -> list[tuple[int, int, int]]:
            wanted = (revisions.c.node_id, revisions.c.revision, revisions.c.merged_from)
            rows = connection.execute(select(*wanted).order_by(revisions.c.revision))
            return [(row[0], row[1], row[2]) for row in rows]

        return await self.server.database.read(load)

    async def quiet(self) -> None:
        """Return when every device has sent and received everything."""
        for _ in range(_ROUNDS_MAX):
            for device in self._devices:
                await device.settled()
            for device in self._devices:
                device.sync.hint()
            await trio.sleep(1)
            if self._is_at_rest():
                return
        raise AssertionError("the devices do not come to rest at one place of the journal")

    async def come_to_rest(self, devices: Sequence[Device] = ()) -> None:
        """Return when every device (of those named) has sent and received everything by itself:
        nobody waits for it, hurries it, or changes something else."""
        for _ in range(_REST_S):
            if self._is_at_rest(devices):
                return
            await trio.sleep(1)
        left = {
            device.name: [
                *device.state.changes.dentries.values(),
                *device.state.changes.nodes.values(),
                *(overlay.node_id for overlay in device.state.overlays),
                device.state.parking.codes,
            ]
            for device in self._devices
        }
        raise AssertionError(f"changes that nobody asks for stay where they are: {left}")

    def _is_at_rest(self, devices: Sequence[Device] = ()) -> bool:
        devices = devices or self._devices
        heads = {device.state.cursor for device in devices}
        return len(heads) == 1 and not any(each.sync.pending_count for each in devices)


@asynccontextmanager
async def open_world(
    folder: Path,
    executor: Callable[[Connections], Executor] = InlineExecutor,
    clock: TrioClock | None = None,
    *,
    quota_bytes: int = DEFAULT_QUOTA_BYTES,
) -> AsyncIterator[World]:
    config = ServerConfig(data=folder / "server", master_key_file=folder / "server" / "master.key")
    await trio.to_thread.run_sync(initialise, config)
    server = await start_server(config, executor, clock)
    await server.create_account(EMAIL, PASSWORD, quota_bytes=quota_bytes)
    world = None
    try:
        async with trio.open_nursery() as nursery:
            world = World(folder, server, nursery)
            yield world
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await (server if world is None else world.server).aclose()


async def start_server(
    config: ServerConfig,
    executor: Callable[[Connections], Executor] = InlineExecutor,
    clock: TrioClock | None = None,
) -> ServerApp:
    """Return the real server, on the event loop's clock and without threads."""
    wall = clock or TrioClock()
    return await build_app(
        config,
        seams=in_process_seams(
            clock_ms=lambda: wall.wall_ns() // 10**6,
            clock_s=trio.current_time,
            executor=executor,
        ),
    )
