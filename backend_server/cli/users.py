"""`user add` and `user list`. Both work while the server runs: SQLite lets them in beside it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from argon2 import PasswordHasher

from backend_server.blocks.worker_threads import WorkerThreads
from backend_server.cli.serve_lock import ServedAlready, serve_lock
from backend_server.clock import wall_clock_ms
from backend_server.config import ServerConfig
from backend_server.data_folder import load_existing_key
from backend_server.metadata.account_rows import AccountSummary, load_account_summaries
from backend_server.metadata.database import Database
from backend_server.protocol.identity import AccountId
from backend_server.services.create_account import CreateAccount
from backend_server.services.passwords import Passwords

T = TypeVar("T")


def add_user(
    config: ServerConfig, email: str, password: str, *, is_admin: bool, quota_bytes: int
) -> AccountId:
    """Make an account and its home drive. Durable on return.

    Raises:
        NotInitialised, MasterKeyUnusable, MetadataError: The data folder cannot be used.
        Refusal: The e-mail or the password is no good.
    """
    master = load_existing_key(config)

    async def add(database: Database) -> AccountId:
        passwords = Passwords(PasswordHasher(), threads=WorkerThreads("passwords", 1))
        create_account = CreateAccount(database, passwords, master, clock_ms=wall_clock_ms)
        return await create_account(email, password, is_admin=is_admin, quota_bytes=quota_bytes)

    return asyncio.run(_with_database(config, add))


def list_users(config: ServerConfig) -> list[AccountSummary]:
    """Return every account, by e-mail.

    Raises:
        NotInitialised, MasterKeyUnusable, MetadataError: The data folder cannot be used.
    """
    load_existing_key(config)

    async def load(database: Database) -> list[AccountSummary]:
        return await database.read(load_account_summaries)

    return asyncio.run(_with_database(config, load))


async def _with_database(config: ServerConfig, work: Callable[[Database], Awaitable[T]]) -> T:
    database = Database.open(config.database_file)
    try:
        try:
            with serve_lock(config.lock_file):
                await database.migrate()
        except ServedAlready:
            # The running server has migrated; its schema must not change under it.
            pass
        return await work(database)
    finally:
        await database.close()
