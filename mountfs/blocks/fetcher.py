"""Chunks from the server: one flight a chunk, many chunks a request.

A chunk that is asked for leaves at once when a request slot is free; what is asked for while all
slots are taken goes together in the next request. Flights belong to the fetcher, not to who asked:
cancelling one reader fails nobody else. What arrives is verified, given to who waits, remembered,
and then put into the cache; a full cache queue slows the stream down, so memory stays bounded.
"""

from collections.abc import Mapping
from typing import Final

import trio

from backend_server.protocol.account_messages import DriveInfo
from backend_server.protocol.blocks import BlockMalformed, decode_block
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import ChunkId, DriveId, chunk_id_of
from backend_server.protocol.transfer_messages import BlockHeader
from mountfs.blocks.flights import Departures, Flight, Key, request_of
from mountfs.blocks.store import ChunkStore
from mountfs.core.content import ContentSource
from mountfs.errors import Corruption, MountError, Offline, RequestRefused, ServerBusy
from mountfs.transport.api import DriveApi

REQUESTS_MAX: Final = 4
LAZY_REQUESTS_MAX: Final = 3
# One slot stays free for a program that waits while read-ahead fills the others.
assert LAZY_REQUESTS_MAX < REQUESTS_MAX
ATTEMPTS_MAX: Final = 2
# Weight of the newest sample of bandwidth and delay.
_SAMPLE_WEIGHT: Final = 0.3


class _Link:
    """What requests have taught about the link."""

    def __init__(self) -> None:
        self._bytes_per_s = 0.0
        self._delay_s = 0.0

    @property
    def held_bytes(self) -> int:
        """Bandwidth x delay; 0 while nothing is known."""
        return int(self._bytes_per_s * self._delay_s)

    def learn(self, *, delay_s: float, duration_s: float, received_bytes: int) -> None:
        self._delay_s += _SAMPLE_WEIGHT * (delay_s - self._delay_s) if self._delay_s else delay_s
        if received_bytes and duration_s > 0:
            sample = received_bytes / duration_s
            known = self._bytes_per_s
            self._bytes_per_s += _SAMPLE_WEIGHT * (sample - known) if known else sample


class BlockFetcher:
    """Fetches chunks. `run` must run in a task; asking works before, and waits for it.

    Args:
        drives: What each drive's chunk key is; may grow while this runs.
    """

    def __init__(
        self, api: DriveApi, store: ChunkStore, drives: Mapping[DriveId, DriveInfo]
    ) -> None:
        self._api = api
        self._store = store
        self._drives = drives
        self._flights: dict[Key, Flight] = {}
        self._departures = Departures()
        self._wake = trio.Event()
        self._is_online = True
        self._requests: set[trio.CancelScope] = set()
        self.link = _Link()

    def set_online(self, is_online: bool) -> None:
        """Tell whether the server is known to be out of reach: asking then fails at once."""
        self._is_online = is_online
        if not is_online:
            self._departures.take_all()
            # At once, not when the requests have ended: who asks again when the server is back must
            # not be given a flight that is lost already.
            for flight in list(self._flights.values()):
                self._land(flight, None, Offline("offline"))
            for scope in self._requests:
                scope.cancel()

    def ask(
        self,
        source: ContentSource,
        chunk_id: ChunkId,
        length: int,
        *,
        have: bytes = b"",
        urgent: bool,
        keeps: bool,
    ) -> Flight:
        """Return the flight that brings a chunk of `source`, joining the one under way. No wait."""
        key = (source.drive_id, chunk_id)
        # No await between lookup and insertion: this is what makes it one flight.
        flight = self._flights.get(key)
        if flight is not None:
            flight.keeps = flight.keeps or keeps
            if urgent:
                self._departures.hurry(flight)
            return flight
        flight = Flight(
            source.drive_id, chunk_id, length, source.node_id, source.revision, have, keeps
        )
        if not self._is_online:
            flight.error = Offline("offline")
            flight.landed.set()
            return flight
        self._flights[key] = flight
        self._departures.add(flight, urgent=urgent)
        self._wake.set()
        return flight

    async def run(self) -> None:
        """Fetch what is asked for, until cancelled; then what is under way fails as Offline."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    while self._may_depart():
                        scope = trio.CancelScope()
                        self._requests.add(scope)
                        nursery.start_soon(self._fly, self._departures.take_batch(), scope)
                    await self._wake.wait()
                    self._wake = trio.Event()
        finally:
            self._departures.take_all()
            for flight in list(self._flights.values()):
                self._land(flight, None, Offline("closing"))

    def _may_depart(self) -> bool:
        if not self._departures:
            return False
        bound = REQUESTS_MAX if self._departures.has_urgent else LAZY_REQUESTS_MAX
        return len(self._requests) < bound

    async def _fly(self, batch: list[Flight], scope: trio.CancelScope) -> None:
        """Bring `batch` home: every one of its flights lands, or waits to leave again."""
        away = {flight.chunk_id: flight for flight in batch}
        error: MountError = Corruption("the server left out a block it was asked for")
        with scope:
            try:
                await self._receive(batch, away)
            except MountError as raised:
                error = raised
            finally:
                self._requests.discard(scope)
                self._wake.set()
        if scope.cancelled_caught:
            error = Offline("offline")
        # A stream that broke on the way is worth another try; a server that is away is not.
        may_retry = len(away) < len(batch) or isinstance(error, Corruption)
        for flight in away.values():
            if not flight.landed.is_set():
                self._fail(flight, error, may_retry=may_retry)

    async def _receive(self, batch: list[Flight], away: dict[ChunkId, Flight]) -> None:
        """Take from `away` what arrives."""
        received = 0
        for flight in batch:
            flight.attempts += 1
        asked_at = trio.current_time()
        first_at = 0.0
        async with self._api.fetch_blocks(batch[0].drive_id, request_of(batch)) as blocks:
            async for header, block in blocks:
                first_at = first_at or trio.current_time()
                received += len(block)
                arrived = away.pop(ChunkId(header.chunk_id), None)
                if arrived is None:
                    raise Corruption("the server sent a block that nobody asked for")
                await self._arrive(arrived, header, block)
        self.link.learn(
            delay_s=(first_at or trio.current_time()) - asked_at,
            duration_s=trio.current_time() - asked_at,
            received_bytes=received,
        )

    async def _arrive(self, flight: Flight, header: BlockHeader, block: bytes | memoryview) -> None:
        if header.error:
            self._land(flight, None, _refusal(header.error))
            return
        try:
            plaintext = self._open(flight, header, block)
        except Corruption as error:
            self._fail(flight, error, may_retry=True)
            return
        self._store.remember(flight.drive_id, flight.chunk_id, plaintext)
        self._land(flight, plaintext, None)
        await self._store.put(flight.drive_id, flight.chunk_id, plaintext)

    def _open(self, flight: Flight, header: BlockHeader, block: bytes | memoryview) -> bytes:
        """Return the verified plaintext. Raises `Corruption`."""
        base = None
        if header.base:
            base = self._store.get(flight.drive_id, ChunkId(header.base))
        try:
            plaintext = decode_block(block, base=base)
        except BlockMalformed as error:
            raise Corruption(f"a block that does not decode: {error}") from error
        key = self._drives[flight.drive_id].chunk_key
        if chunk_id_of(plaintext, chunk_key=key) != flight.chunk_id:
            raise Corruption("a block whose bytes are not what its id says")
        if len(plaintext) != flight.length:
            raise Corruption("a chunk that is not as long as its manifest says")
        return plaintext

    def _fail(self, flight: Flight, error: MountError, *, may_retry: bool) -> None:
        """Let `flight` try again, without a delta, or land it with `error`."""
        if may_retry and self._is_online and flight.attempts < ATTEMPTS_MAX:
            flight.have = b""
            self._departures.add(flight, urgent=True)
            self._wake.set()
        else:
            self._land(flight, None, error)

    def _land(self, flight: Flight, plaintext: bytes | None, error: MountError | None) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        flight.plaintext = plaintext if flight.keeps else None
        flight.error = error
        flight.landed.set()


def _refusal(word: str) -> MountError:
    message = f"the server cannot give a block: {word}"
    match word:
        case "unavailable":
            return ServerBusy(message)
        case "forbidden":
            return RequestRefused(ErrorCode.FORBIDDEN, message)
        case _:
            # Damaged, or lost and known to be: an I/O error, whatever the server calls it.
            return Corruption(message)
