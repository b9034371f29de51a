"""What a server can be asked, and what is promised: the seam below `sync` and `blocks`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from backend_server.protocol.account_messages import AccountAnswer, DeviceInfo
from backend_server.protocol.blocks import Block
from backend_server.protocol.commit_messages import CommitAnswer, CommitRequest
from backend_server.protocol.identity import DeviceId, DriveId, UploadId
from backend_server.protocol.transfer_messages import (
    BlockHeader,
    BlocksAnswer,
    FetchRequest,
    LostBlocksPage,
    ManifestsAnswer,
    ManifestsRequest,
    UploadAnswer,
    UploadRequest,
)
from backend_server.protocol.tree_messages import ChangesPage, PollAnswer, PollRequest


class DriveApi(Protocol):
    """The calls of one logged-in device.

    Safe to call from many tasks at once. Every call is a checkpoint, has a deadline of its own,
    and may be cancelled at any time. Every call is idempotent: repeating one whose answer was
    lost changes nothing more.

    Raises (each call):
        Offline: The server cannot be reached, or the connection broke.
        DeadlinePassed: No answer in time.
        ServerBusy: Try again after `retry_after_s`.
        NotLoggedIn (and below): The token is not, or no longer, good.
        RequestRefused, QuotaExceeded: Refused, and will be again.
        Corruption: The answer is not one.
        SetupError: The certificate is not trusted, or the address is none.
    """

    async def account(self) -> AccountAnswer:
        """Return who this device is and which drives it may see."""
        ...

    async def devices(self) -> list[DeviceInfo]:
        """Return the account's devices."""
        ...

    async def revoke_device(self, device_id: DeviceId) -> None:
        """Log a device out for good; also this one."""
        ...

    async def snapshot_page(
        self, drive_id: DriveId, after: str | None = None, since: str | None = None
    ) -> ChangesPage:
        """Return a page of the tree; `after` is the `cursor` of the page before, None at first.

        `since`: what the mirror has up to now, which the server may have lost in part.

        Raises:
            CursorReset: Begin again from the first page.
        """
        ...

    async def changes(self, drive_id: DriveId, cursor: str) -> ChangesPage:
        """Return what changed behind `cursor`, at most one page.

        Raises:
            CursorReset: The feed cannot continue from this cursor: build a new mirror.
        """
        ...

    async def poll(self, request: PollRequest) -> PollAnswer:
        """Wait for a drive to move past its cursor; up to POLL_CLIENT_TIMEOUT_S.

        Never takes a connection that another call could need. One at a time.
        """
        ...

    async def announce(self, drive_id: DriveId, request: UploadRequest) -> UploadAnswer:
        """Announce a pending revision: reserve quota, learn which chunks are missing."""
        ...

    async def send_blocks(
        self, drive_id: DriveId, upload_id: UploadId, blocks: Sequence[tuple[BlockHeader, Block]]
    ) -> BlocksAnswer:
        """Send blocks; durable on return. The payloads must stay as they are until then."""
        ...

    def fetch_blocks(
        self, drive_id: DriveId, request: FetchRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[BlockHeader, bytes | memoryview]]]:
        """Give the blocks as they arrive, in the order asked.

        Bytes are handed on as they came: nothing is verified. Raises also while iterating.
        """
        ...

    async def lost_blocks(self, drive_id: DriveId, after: str = "") -> LostBlocksPage:
        """Return which chunks the server lost, at most one page; `after` is of the page before."""
        ...

    async def fetch_manifests(
        self, drive_id: DriveId, request: ManifestsRequest
    ) -> ManifestsAnswer:
        """Return manifests, one answer for each wanted, in order."""
        ...

    async def commit(self, drive_id: DriveId, request: CommitRequest) -> CommitAnswer:
        """Ask the server to make changes; one answer an operation, durable on return."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
