"""What the routes call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from backend_server.services.announce_upload import AnnounceUpload
from backend_server.services.authenticate import Authenticate
from backend_server.services.commit_operations import CommitOperations
from backend_server.services.devices import ListDevices, RevokeDevice
from backend_server.services.fetch_blocks import FetchBlocks
from backend_server.services.fetch_manifests import FetchManifests
from backend_server.services.load_account import LoadAccount
from backend_server.services.load_changes import LoadChanges
from backend_server.services.load_lost_blocks import LoadLostBlocks
from backend_server.services.load_snapshot_page import LoadSnapshotPage
from backend_server.services.log_in import LogIn
from backend_server.services.poll_changes import PollChanges
from backend_server.services.receive_blocks import ReceiveBlocks


@dataclass(frozen=True, slots=True)
class UseCases:
    """One service a call."""

    authenticate: Authenticate
    log_in: LogIn
    load_account: LoadAccount
    list_devices: ListDevices
    revoke_device: RevokeDevice
    load_snapshot_page: LoadSnapshotPage
    load_changes: LoadChanges
    poll_changes: PollChanges
    announce_upload: AnnounceUpload
    receive_blocks: ReceiveBlocks
    fetch_blocks: FetchBlocks
    load_lost_blocks: LoadLostBlocks
    fetch_manifests: FetchManifests
    commit_operations: CommitOperations
    check_ready: Callable[[], Awaitable[None]]
    """Raises MetadataError or StoreError while the server cannot do its work."""
