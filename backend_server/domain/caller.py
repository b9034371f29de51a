"""Who asks, and what they see of a drive."""

from dataclasses import dataclass
from enum import StrEnum

from backend_server.protocol.identity import AccountId, DeviceId, DriveId, NodeId


@dataclass(frozen=True, slots=True)
class Caller:
    """A device that proved who it is."""

    account_id: AccountId
    device_id: DeviceId


class Role(StrEnum):
    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class View:
    """What one account sees of a drive: a root and rights."""

    drive_id: DriveId
    root_node: NodeId
    role: Role

    @property
    def may_change(self) -> bool:
        return self.role is not Role.VIEWER
