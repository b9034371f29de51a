"""The batch on its way, sent again under its numbers: the server answers it once."""

from collections.abc import Mapping
from typing import Protocol

import structlog

from backend_server.protocol.commit_messages import (
    CommitAnswer,
    CommitRequest,
    Operation,
    OperationAnswer,
    Outcome,
)
from backend_server.protocol.identity import DriveId
from mountfs.errors import RequestRefused
from mountfs.state.store import StateStore
from mountfs.sync.planning import request_of

_log = structlog.get_logger()


class CommitServer(Protocol):
    async def commit(self, drive_id: DriveId, request: CommitRequest) -> CommitAnswer: ...


async def send_batch(
    state: StateStore, server: CommitServer, whole: Mapping[int, Operation]
) -> dict[int, OperationAnswer] | None:
    """Send the stored batch, and return its answers by number; None if there is none.

    Args:
        whole: Operations with their inline blocks, as far as they are known: not after a restart.

    Changes nothing here. Raises `Unavailable`, `NotLoggedIn`.
    """
    if not state.batches.in_flight:
        return None
    operations = [
        whole.get(sent.operation.number, sent.operation) for sent in state.batches.in_flight
    ]
    request = request_of(operations, answered_through=operations[0].number - 1)
    try:
        answer = await server.commit(state.drive_id, request)
    except RequestRefused as error:
        # The batch as a whole is not taken (its numbers are ahead of a server that came back
        # from a backup): nothing of it was made, so it is planned anew behind the next pull.
        _log.warning("a batch was refused and is planned anew", reason=str(error))
        return {
            operation.number: OperationAnswer(operation.number, Outcome.STALE)
            for operation in operations
        }
    return {item.number: item for item in answer.answers}
