"""`check`: finds what was damaged behind the server's back, and repairs what can be repaired.

A dry run only reads and may be made beside the running server. A repair takes the lock that a
server would hold.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from backend_server.blocks.folder_inspection import FolderInspection
from backend_server.cli.failures import CommandFailed
from backend_server.cli.serve_lock import ServedAlready, serve_lock
from backend_server.clock import wall_clock_ms
from backend_server.config import ServerConfig
from backend_server.data_folder import NotInitialised
from backend_server.domain.findings import Finding, FindingKind
from backend_server.maintenance.check.report import CheckProgress, CheckReport
from backend_server.maintenance.check.run import run_check
from backend_server.maintenance.check.surroundings import CheckOptions, Surroundings
from backend_server.metadata.database import Database
from backend_server.metadata.errors import MetadataCorrupt, MetadataOutdated
from backend_server.metadata.executors import InlineExecutor, InspectingExecutor
from backend_server.metadata.integrity import check_schema
from backend_server.services.key_wrap import MasterKey
from backend_server.services.master_key import MasterKeyUnusable, load_master_key


def check_data(config: ServerConfig, options: CheckOptions, progress: CheckProgress) -> CheckReport:
    """Return what was found in the data folder, repaired as `options` say.

    Raises:
        CommandFailed: A server runs and a repair was wanted, or the folder of blocks is not there.
        NotInitialised, MasterKeyUnusable, MetadataError, StoreError: The data cannot be used.
    """
    if not config.database_file.is_file():
        raise NotInitialised(
            f"{config.data} holds no server: there is no {config.database_file.name}; name the "
            "right --data, or restore it from a backup"
        )
    if not config.blocks_folder.is_dir():
        raise CommandFailed(
            f"the folder {config.blocks_folder} is gone; mount its disk, or restore it from a "
            "backup, and check again"
        )
    report = CheckReport()
    with _alone(config) if options.is_repairing else _beside():
        master = _load_key(config, options, report)
        try:
            asyncio.run(_check(config, master, options, report, progress))
        except MetadataCorrupt as error:
            sentence = f"The database is damaged: {error}"
            file = str(config.database_file)
            report.add(Finding(FindingKind.DATABASE_DAMAGED, "", file, sentence, False))
    return report


async def _check(
    config: ServerConfig,
    master: MasterKey | None,
    options: CheckOptions,
    report: CheckReport,
    progress: CheckProgress,
) -> None:
    is_outdated = await _is_outdated(config, options)
    database = Database.open(
        config.database_file,
        executor=InlineExecutor if options.is_repairing else InspectingExecutor,
    )
    try:
        if is_outdated:
            await database.migrate()
        await run_check(
            Surroundings(
                database=database,
                folder=FolderInspection(config.blocks_folder, config.quarantine_folder),
                master=master,
                options=options,
                clock_ms=wall_clock_ms,
                report=report,
                progress=progress,
            )
        )
    finally:
        await database.close()


async def _is_outdated(config: ServerConfig, options: CheckOptions) -> bool:
    """Whether a repair must upgrade the schema. Looked at before anything opens the file to write.

    Raises:
        MetadataOutdated: In a dry run, which upgrades nothing.
        MetadataCorrupt, MetadataTooNew: See there.
    """
    database = Database.open(config.database_file, executor=InspectingExecutor)
    try:
        await database.read(check_schema)
    except MetadataOutdated:
        if not options.is_repairing:
            raise
        return True
    finally:
        await database.close()
    return False


def _load_key(config: ServerConfig, options: CheckOptions, report: CheckReport) -> MasterKey | None:
    """Return the master key; without one a dry run checks blocks by their digests alone."""
    try:
        return load_master_key(config.master_key_file)
    except MasterKeyUnusable as error:
        if options.is_repairing:
            raise
        file = str(config.master_key_file)
        sentence = f"Blocks were not opened: {error}."
        report.add(Finding(FindingKind.MASTER_KEY_UNUSABLE, "", file, sentence, False))
        return None


@contextmanager
def _alone(config: ServerConfig) -> Iterator[None]:
    try:
        with serve_lock(config.lock_file):
            yield
    except ServedAlready:
        raise CommandFailed(
            f"a mountfs-server serves {config.data}; stop it before a repair, or check without "
            "--repair"
        ) from None


@contextmanager
def _beside() -> Iterator[None]:
    yield
