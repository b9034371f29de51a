"""Tells an account who it is and which drives it may see."""

from collections.abc import Callable
from functools import partial

import msgspec
from sqlalchemy import Connection

from backend_server.domain.caller import Caller, View
from backend_server.domain.refusals import Refusal
from backend_server.metadata.account_rows import AccountRow, load_account
from backend_server.metadata.database import Database
from backend_server.metadata.device_rows import DeviceRow, load_devices
from backend_server.metadata.drive_rows import load_views
from backend_server.metadata.key_rows import DriveDescription, load_drive_descriptions
from backend_server.protocol.account_messages import AccountAnswer, DriveInfo
from backend_server.protocol.chunking import ChunkerParameters
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId
from backend_server.services.vault import Vault


class LoadAccount:
    """GET account."""

    def __init__(self, database: Database, vault: Vault, *, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._vault = vault
        self._clock_ms = clock_ms

    async def __call__(self, caller: Caller) -> AccountAnswer:
        """Return the caller's account; drives that it owns come first."""
        account, device, views, descriptions = await self._database.read(
            partial(_load, caller=caller)
        )
        drives: list[DriveInfo] = []
        for view in views:
            await self._vault.prepare(view.drive_id)
            drives.append(self._drive_info(view, descriptions[view.drive_id]))
        return AccountAnswer(
            account_id=account.account_id,
            email=account.email,
            device_id=device.device_id,
            device_name=device.name,
            drives=drives,
            server_time_ms=self._clock_ms(),
        )

    def _drive_info(self, view: View, description: DriveDescription) -> DriveInfo:
        return DriveInfo(
            drive_id=view.drive_id,
            name=description.name,
            root_node=view.root_node,
            epoch=description.epoch,
            chunk_key=self._vault.chunk_key(view.drive_id),
            chunker=msgspec.json.decode(description.chunker, type=ChunkerParameters),
        )


def _load(
    connection: Connection, *, caller: Caller
) -> tuple[AccountRow, DeviceRow, list[View], dict[DriveId, DriveDescription]]:
    account = load_account(connection, caller.account_id)
    device = next(
        (
            row
            for row in load_devices(connection, caller.account_id)
            if row.device_id == caller.device_id
        ),
        None,
    )
    if account is None or device is None:
        raise Refusal(ErrorCode.DEVICE_REVOKED, "This device was signed out; log in again.")
    views = load_views(connection, caller.account_id)
    return (
        account,
        device,
        views,
        load_drive_descriptions(connection, [view.drive_id for view in views]),
    )
