"""The composition root: every part of the server put together, read from the outside in.

`open_server` gives an ASGI application and what belongs to it. `mountfs-server serve` puts it
behind a socket; a test or a simulation calls it in process, on trio if it likes:

    async with open_server(config, seams=in_process_seams()) as server:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(server.asgi), base_url="http://s")
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import anyio
from argon2 import PasswordHasher
from blake3 import blake3

from backend_server.api.application import build_application
from backend_server.api.bodies import Bodies
from backend_server.api.metrics import Metrics
from backend_server.api.use_cases import UseCases
from backend_server.blocks.block_store import BlockStore
from backend_server.blocks.local_folder import LocalFolderStore
from backend_server.blocks.metered import MeteredStore
from backend_server.blocks.verifying import VerifyingStore
from backend_server.blocks.worker_threads import InlineThreads, Threads, WorkerThreads
from backend_server.clock import wall_clock_ms
from backend_server.config import ServerConfig
from backend_server.data_folder import load_existing_key
from backend_server.maintenance.compact import compact_for_ever
from backend_server.maintenance.reap import reap_for_ever
from backend_server.metadata.connections import Connections
from backend_server.metadata.database import Database
from backend_server.metadata.executors import Executor, InlineExecutor, ThreadExecutor
from backend_server.metadata.key_rows import load_any_drive_id
from backend_server.notify.change_hub import ChangeHub
from backend_server.services.announce_upload import AnnounceUpload
from backend_server.services.authenticate import Authenticate
from backend_server.services.commit_operations import CommitOperations
from backend_server.services.compact_journal import CompactJournal
from backend_server.services.create_account import CreateAccount
from backend_server.services.devices import ListDevices, RevokeDevice
from backend_server.services.fetch_blocks import FetchBlocks
from backend_server.services.fetch_manifests import FetchManifests
from backend_server.services.key_wrap import MasterKey
from backend_server.services.load_account import LoadAccount
from backend_server.services.load_changes import LoadChanges
from backend_server.services.load_lost_blocks import LoadLostBlocks
from backend_server.services.load_snapshot_page import LoadSnapshotPage
from backend_server.services.log_in import LogIn, LogInLimits
from backend_server.services.passwords import Passwords
from backend_server.services.poll_changes import PollChanges
from backend_server.services.reap_uploads import ReapUploads
from backend_server.services.receive_blocks import ReceiveBlocks
from backend_server.services.vault import Vault

STORE_THREADS: Final = 4
CODEC_THREADS: Final = 2
PASSWORD_THREADS: Final = 2
"""Each takes 64 MiB while it hashes."""


@dataclass(frozen=True, slots=True)
class Seams:
    """What tests and simulations put in the place of threads, clocks and slow hashes."""

    executor: Callable[[Connections], Executor] = ThreadExecutor
    threads: Callable[[str, int], Threads] = WorkerThreads
    store: Callable[[Path, Threads, int], BlockStore] = field(
        default=lambda root, threads, free_bytes_min: LocalFolderStore(
            root, threads=threads, free_bytes_min=free_bytes_min
        )
    )
    hasher: Callable[[], PasswordHasher] = PasswordHasher
    clock_ms: Callable[[], int] = wall_clock_ms
    clock_s: Callable[[], float] = time.monotonic
    log_in_limits: LogInLimits = field(default_factory=LogInLimits)


def in_process_seams(**changes: object) -> Seams:
    """Return seams without threads and with cheap hashes, for any event loop."""
    seams = {
        "executor": InlineExecutor,
        "threads": lambda name, threads_max: InlineThreads(),
        "hasher": lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1),
        **changes,
    }
    return Seams(**seams)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class ServerApp:
    """A server in this process. `run_maintenance` runs until cancelled."""

    asgi: Callable[..., Awaitable[None]]
    """An ASGI application (HTTP only, no lifespan)."""
    use_cases: UseCases
    create_account: CreateAccount
    database: Database
    store: BlockStore
    hub: ChangeHub
    reap_uploads: ReapUploads
    compact_journal: CompactJournal
    reap_every_s: float
    compact_every_s: float

    async def run_maintenance(self) -> None:
        """Do what must be done now and then; the caller owns the task."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(reap_for_ever, self.reap_uploads, every_s=self.reap_every_s))
            tasks.start_soon(
                partial(compact_for_ever, self.compact_journal, every_s=self.compact_every_s)
            )

    def begin_shutdown(self) -> None:
        """Answer all waiting polls, now and from now on."""
        self.hub.close()

    async def aclose(self) -> None:
        """Finish accepted writes and close. Idempotent."""
        self.begin_shutdown()
        await self.database.close()
        await self.store.aclose()


async def build_app(config: ServerConfig, *, seams: Seams | None = None) -> ServerApp:
    """Return the server of `config.data`, its database migrated. The caller closes it.

    Raises:
        NotInitialised, MasterKeyUnusable, KeyFault: The data folder cannot be served.
        MetadataError, StoreError: Database or block store cannot be opened.
    """
    seams = seams or Seams()
    master = load_existing_key(config)
    metrics = Metrics()
    codec_threads = seams.threads("codec", CODEC_THREADS)
    database = Database.open(config.database_file, executor=seams.executor)
    try:
        await database.migrate()
        store: BlockStore = MeteredStore(
            VerifyingStore(
                seams.store(
                    config.blocks_folder,
                    seams.threads("blocks", STORE_THREADS),
                    config.free_bytes_min,
                ),
                threads=codec_threads,
            ),
            metrics,
            clock_s=seams.clock_s,
        )
        vault = Vault(database, store, master, threads=codec_threads)
        await _try_master_key(database, vault)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await database.close()
        raise
    hub = ChangeHub()
    metrics.watch_polls(lambda: hub.watcher_count)
    passwords = Passwords(seams.hasher(), threads=seams.threads("passwords", PASSWORD_THREADS))
    cursor_key = cursor_key_of(master)
    use_cases = UseCases(
        authenticate=Authenticate(database, clock_ms=seams.clock_ms),
        log_in=LogIn(
            database,
            passwords,
            clock_ms=seams.clock_ms,
            clock_s=seams.clock_s,
            limits=seams.log_in_limits,
        ),
        load_account=LoadAccount(database, vault, clock_ms=seams.clock_ms),
        list_devices=ListDevices(database),
        revoke_device=RevokeDevice(database, clock_ms=seams.clock_ms),
        load_snapshot_page=LoadSnapshotPage(database, cursor_key=cursor_key),
        load_changes=LoadChanges(database, cursor_key=cursor_key, clock_ms=seams.clock_ms),
        poll_changes=PollChanges(database, hub, cursor_key=cursor_key),
        announce_upload=AnnounceUpload(database, clock_ms=seams.clock_ms),
        receive_blocks=ReceiveBlocks(
            database, store, vault, threads=codec_threads, clock_ms=seams.clock_ms
        ),
        fetch_blocks=FetchBlocks(database, vault, threads=codec_threads),
        load_lost_blocks=LoadLostBlocks(database),
        fetch_manifests=FetchManifests(database),
        commit_operations=CommitOperations(
            database, vault, hub, threads=codec_threads, clock_ms=seams.clock_ms
        ),
        check_ready=partial(_check_ready, database, store),
    )
    asgi = build_application(
        use_cases,
        roles=config.roles,
        bodies=Bodies(threads=codec_threads),
        metrics=metrics,
        metrics_from_anywhere=config.metrics_from_anywhere,
        version=version("mountfs"),
    )
    return ServerApp(
        asgi=asgi,
        use_cases=use_cases,
        create_account=CreateAccount(database, passwords, master, clock_ms=seams.clock_ms),
        database=database,
        store=store,
        hub=hub,
        reap_uploads=ReapUploads(database, clock_ms=seams.clock_ms, clock_s=seams.clock_s),
        compact_journal=CompactJournal(
            database, clock_ms=seams.clock_ms, keep_ms=int(config.journal_keep_s * 1000)
        ),
        reap_every_s=config.reap_every_s,
        compact_every_s=config.compact_every_s,
    )


@asynccontextmanager
async def open_server(
    config: ServerConfig, *, seams: Seams | None = None
) -> AsyncIterator[ServerApp]:
    """Run the server of `config.data` in this process while the block runs; see `build_app`."""
    server = await build_app(config, seams=seams)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.run_maintenance)
            yield server
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await server.aclose()


def cursor_key_of(master: MasterKey) -> bytes:
    """Return the key that authenticates cursors, 32 bytes. Pure."""
    return blake3(b"mountfs cursor key", key=master.secret).digest()


async def _try_master_key(database: Database, vault: Vault) -> None:
    """Find out at start, not at the first read, that the key is another server's."""
    drive_id = await database.read(load_any_drive_id)
    if drive_id is not None:
        await vault.prepare(drive_id)


async def _check_ready(database: Database, store: BlockStore) -> None:
    await database.read(load_any_drive_id)
    await store.check_ready()
