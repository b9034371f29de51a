"""Statements about accounts: one person each."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from backend_server.metadata.tables import accounts, drives
from backend_server.protocol.identity import AccountId


@dataclass(frozen=True, slots=True)
class AccountRow:
    account_id: AccountId
    email: str
    password_hash: str
    is_admin: bool
    is_suspended: bool
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """An account and what its own drives take, in bytes."""

    account: AccountRow
    used_bytes: int
    limit_bytes: int


def insert_account(
    connection: Connection, *, email: str, password_hash: str, is_admin: bool, now_ms: int
) -> AccountId:
    """Make an account. `email` is casefolded by the caller.

    Raises:
        IntegrityError: Somebody has that e-mail; `ConstraintViolated` behind the door.
    """
    result = connection.execute(
        insert(accounts).values(
            email=email,
            password_hash=password_hash,
            is_admin=int(is_admin),
            created_at_ms=now_ms,
        )
    )
    key = result.inserted_primary_key
    assert key is not None
    return AccountId(key[0])


def load_account_by_email(connection: Connection, email: str) -> AccountRow | None:
    """Return the account with that casefolded e-mail."""
    row = connection.execute(select(accounts).where(accounts.c.email == email)).one_or_none()
    return None if row is None else _account_of(row)


def load_account(connection: Connection, account_id: AccountId) -> AccountRow | None:
    """Return one account."""
    row = connection.execute(
        select(accounts).where(accounts.c.account_id == account_id)
    ).one_or_none()
    return None if row is None else _account_of(row)


def load_account_summaries(connection: Connection) -> list[AccountSummary]:
    """Return every account with the sums over the drives that it owns, by e-mail."""
    # Two passes, not a join: the directory and the drives need not be in one database.
    sums = {
        row.owner_account: (row.used, row.limit)
        for row in connection.execute(
            select(
                drives.c.owner_account,
                func.sum(drives.c.quota_used).label("used"),
                func.sum(drives.c.quota_limit).label("limit"),
            ).group_by(drives.c.owner_account)
        )
    }
    return [
        AccountSummary(_account_of(row), *sums.get(row.account_id, (0, 0)))
        for row in connection.execute(select(accounts).order_by(accounts.c.email))
    ]


def _account_of(row: Row[Any]) -> AccountRow:
    return AccountRow(
        account_id=AccountId(row.account_id),
        email=row.email,
        password_hash=row.password_hash,
        is_admin=bool(row.is_admin),
        is_suspended=row.suspended_at_ms is not None,
        created_at_ms=row.created_at_ms,
    )
