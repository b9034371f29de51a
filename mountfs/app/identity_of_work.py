"""What a device's work is called on the server: ids of nodes, numbers of operations."""

import secrets
from typing import Final

from backend_server.protocol.identity import NODE_ID_MAX, NODE_ID_RESERVED_MAX
from mountfs.app.device import DeviceRecord
from mountfs.state.store import StateStore

_DEVICE_KEY: Final = "device_id"


def new_node_id() -> int:
    """Return an id that no node of any drive has."""
    return NODE_ID_RESERVED_MAX + 1 + secrets.randbelow(NODE_ID_MAX - NODE_ID_RESERVED_MAX)


def number_anew_for_a_new_device(state: StateStore, record: DeviceRecord) -> None:
    """Operations are numbered by device: after another log-in the server expects number 1.

    The answer to a batch that was on its way then is lost, as after a reset; what it changed comes
    with the feed.
    """
    with state.database.transaction():
        if state.value(_DEVICE_KEY) not in ("", str(record.device_id)):
            state.batches.forget()
            state.set_value("last_number", "0")
        state.set_value(_DEVICE_KEY, str(record.device_id))
    state.batches.load()
