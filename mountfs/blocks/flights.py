"""Chunks that are wanted from the server, and in which order they go.

Pure but for the events that waiters wait on. Urgent chunks (a program waits) go before lazy ones
(read-ahead, prefetch); a lazy chunk that becomes urgent overtakes. One batch names one drive.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from backend_server.protocol.identity import ChunkId, DriveId, NodeId, RevisionId
from backend_server.protocol.limits import FETCH_BYTES_MAX, FETCH_CHUNKS_MAX, MIB
from backend_server.protocol.transfer_messages import FetchGroup, FetchRequest, WantedChunk
from mountfs.errors import MountError

BATCH_BYTES_MAX: Final = 4 * MIB
BATCH_CHUNKS_MAX: Final = 1024
assert BATCH_BYTES_MAX + MIB <= FETCH_BYTES_MAX
assert BATCH_CHUNKS_MAX <= FETCH_CHUNKS_MAX

Key = tuple[DriveId, ChunkId]


@dataclass(slots=True, eq=False)
class Flight:
    """One chunk on its way. `landed` is set when `plaintext` or `error` is.

    `node_id` and `revision` are what the right to the chunk is checked by. `have` names a chunk on
    this device that a delta may be made against, or nothing. `keeps` says whether somebody waits
    for the bytes themselves; nobody else holds on to them here.
    """

    drive_id: DriveId
    chunk_id: ChunkId
    length: int
    node_id: NodeId
    revision: RevisionId
    have: bytes
    keeps: bool
    attempts: int = 0
    landed: trio.Event = field(default_factory=trio.Event)
    plaintext: bytes | None = None
    error: MountError | None = None

    @property
    def key(self) -> Key:
        return self.drive_id, self.chunk_id


class Departures:
    """The flights that wait to leave."""

    def __init__(self) -> None:
        self._urgent: OrderedDict[Key, Flight] = OrderedDict()
        self._lazy: OrderedDict[Key, Flight] = OrderedDict()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._lazy)

    @property
    def has_urgent(self) -> bool:
        return bool(self._urgent)

    def add(self, flight: Flight, *, urgent: bool) -> None:
        """Let `flight` wait for the next batch."""
        (self._urgent if urgent else self._lazy)[flight.key] = flight

    def hurry(self, flight: Flight) -> None:
        """Let a lazy flight that has not left yet overtake the other lazy ones."""
        if self._lazy.pop(flight.key, None) is not None:
            self._urgent[flight.key] = flight

    def take_batch(self) -> list[Flight]:
        """Remove and return the flights of the next request; all of one drive."""
        batch: list[Flight] = []
        batch_bytes = 0
        for queue in (self._urgent, self._lazy):
            while queue and batch_bytes < BATCH_BYTES_MAX and len(batch) < BATCH_CHUNKS_MAX:
                flight = next(iter(queue.values()))
                if batch and flight.drive_id != batch[0].drive_id:
                    break
                del queue[flight.key]
                batch.append(flight)
                batch_bytes += flight.length
        return batch

    def take_all(self) -> list[Flight]:
        """Remove and return everything that waits."""
        flights = [*self._urgent.values(), *self._lazy.values()]
        self._urgent.clear()
        self._lazy.clear()
        return flights


def request_of(batch: Sequence[Flight]) -> FetchRequest:
    """Return the request for `batch`, in its order. Pure."""
    groups: list[FetchGroup] = []
    for flight in batch:
        wanted = WantedChunk(flight.chunk_id, flight.have)
        if groups and (groups[-1].node_id, groups[-1].revision) == (
            flight.node_id,
            flight.revision,
        ):
            groups[-1].chunks.append(wanted)
        else:
            groups.append(FetchGroup(flight.node_id, flight.revision, [wanted]))
    return FetchRequest(groups)
