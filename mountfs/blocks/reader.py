"""Bytes of a file, from wherever they are nearest."""

from collections.abc import Iterable, Sequence
from typing import Final

import trio

from backend_server.protocol.identity import ChunkId, DriveId
from mountfs.blocks.fetcher import BlockFetcher
from mountfs.blocks.flights import Flight
from mountfs.blocks.older import OlderManifests
from mountfs.blocks.read_stream import ReadStream
from mountfs.blocks.store import ChunkStore
from mountfs.core.content import ContentSource, Manifest
from mountfs.errors import Corruption, DeadlinePassed

READ_DEADLINE_S: Final = 10.0
_PREFETCH_FLIGHTS_MAX: Final = 2048


class ContentReader:
    """Reads committed content. Never shows bytes that were not verified.

    Safe to call from many tasks. A read that needs nothing from the server does not wait.

    Raises (each method that waits):
        Offline: Needs the server, which is out of reach; at once when known.
        DeadlinePassed: The bytes did not come within READ_DEADLINE_S.
        Corruption: The server sent, twice, what does not match its digest.
        RequestRefused, NotLoggedIn, ServerBusy: As the server says.
    """

    def __init__(self, store: ChunkStore, fetcher: BlockFetcher, older: OlderManifests) -> None:
        self._store = store
        self._fetcher = fetcher
        self._older = older

    def set_online(self, is_online: bool) -> None:
        """Tell whether the server is known to be out of reach."""
        self._fetcher.set_online(is_online)

    def open_stream(self, source: ContentSource) -> ReadStream:
        """Return a reader of one open file, which reads ahead. Cheap."""
        self._older.note(source.drive_id, source.node_id, source.manifest)
        return ReadStream(self, source)

    def read_nowait(
        self, source: ContentSource, offset: int, length: int, *, whole: bool = False
    ) -> bytes | None:
        """Return bytes as `read` does, None if one of them is not on this device."""
        parts: list[bytes | memoryview] = []
        manifest = source.manifest
        for index, within, take in manifest.pieces(offset, length):
            entry = manifest.entries[index]
            if entry.is_hole:
                parts.append(bytes(take))
                continue
            found = self._store.read(source.drive_id, entry, within, take, whole=whole)
            if found is None:
                return None
            parts.append(_exactly(found, take))
        if len(parts) == 1:
            return bytes(parts[0])
        return b"".join(parts)

    async def read(
        self, source: ContentSource, offset: int, length: int, *, whole: bool = False
    ) -> bytes:
        """Return `length` bytes from `offset`, fewer at the end of the file.

        `whole`: what lies around will be read too. Checkpoint only if the server is needed.
        """
        found = self.read_nowait(source, offset, length, whole=whole)
        if found is not None:
            return found
        manifest = source.manifest
        parts: list[bytes | memoryview | tuple[Flight, int, int]] = []
        for index, within, take in manifest.pieces(offset, length):
            entry = manifest.entries[index]
            if entry.is_hole:
                parts.append(bytes(take))
                continue
            here = self._store.read(source.drive_id, entry, within, take, whole=whole)
            if here is None:
                parts.append((self._ask(source, index, urgent=True), within, take))
            else:
                parts.append(_exactly(here, take))
        joined: list[bytes | memoryview] = []
        with trio.move_on_after(READ_DEADLINE_S):
            for part in parts:
                if isinstance(part, tuple):
                    flight, within, take = part
                    plaintext = await landed(flight)
                    joined.append(_exactly(memoryview(plaintext)[within : within + take], take))
                else:
                    joined.append(part)
            return b"".join(joined)
        raise DeadlinePassed(f"no bytes from the server within {READ_DEADLINE_S:.0f} s")

    async def read_chunk(self, source: ContentSource, index: int) -> bytes:
        """Return the whole chunk that is entry `index` of `source`; not a hole."""
        entry = source.manifest.entries[index]
        here = self._store.get(source.drive_id, entry.chunk_id)
        if here is None:
            here = await landed(self._ask(source, index, urgent=True))
        _exactly(here, entry.length)
        return here

    async def read_chunks(self, source: ContentSource, indices: Sequence[int]) -> list[bytes]:
        """Return whole chunks of `source`, fetched together. The caller bounds how many."""
        ready = [
            self._store.get(source.drive_id, source.manifest.entries[index].chunk_id)
            for index in indices
        ]
        flights = {
            nth: self._ask(source, indices[nth], urgent=True)
            for nth, plaintext in enumerate(ready)
            if plaintext is None
        }
        chunks = [
            plaintext if plaintext is not None else await landed(flights[nth])
            for nth, plaintext in enumerate(ready)
        ]
        for nth, chunk in enumerate(chunks):
            _exactly(chunk, source.manifest.entries[indices[nth]].length)
        return chunks

    async def prefetch(self, sources: Sequence[ContentSource]) -> None:
        """Bring what this device lacks of `sources` into the cache, in few requests.

        Goes behind what programs wait for. Raises the first error, after everything has landed.
        """
        await self._bring(
            (source, self._lacking(source, range(len(source.manifest.entries))))
            for source in sources
        )

    async def prefetch_replaced(self, replaced: Sequence[tuple[ContentSource, Manifest]]) -> None:
        """Bring of each content what lies where the older one of its file is on this device, and
        of what was appended as many bytes as that holds. As `prefetch` otherwise."""
        await self._bring(self._replacing(source, older) for source, older in replaced)

    def holds_part(self, drive_id: DriveId, manifest: Manifest) -> bool:
        """Whether any chunk of a content is on this device."""
        chunk_ids = {entry.chunk_id for entry in manifest.entries if not entry.is_hole}
        return len(self._store.lacking(drive_id, chunk_ids)) < len(chunk_ids)

    def ask_ahead(self, source: ContentSource, start: int, end: int) -> None:
        """Let the chunks that hold bytes `start` to `end` come, if they are not here. No wait."""
        manifest = source.manifest
        touched = [piece.entry_index for piece in manifest.pieces(start, end - start)]
        self.ask_chunks_ahead(source, touched)

    def ask_chunks_ahead(self, source: ContentSource, indices: Sequence[int]) -> None:
        """Let whole chunks of `source` come, if they are not here. No wait."""
        for index in self._lacking(source, indices):
            self._ask(source, index, urgent=False, keeps=False)

    def note_older(self, source: ContentSource) -> None:
        """Remember `source` as content its node had: its chunks may save bytes on the wire."""
        self._older.note(source.drive_id, source.node_id, source.manifest)

    @property
    def link_bytes(self) -> int:
        """Bandwidth x delay of the link, as far as known."""
        return self._fetcher.link.held_bytes

    async def _bring(self, wanted: Iterable[tuple[ContentSource, Sequence[int]]]) -> None:
        flights: list[Flight] = []
        first_error: Exception | None = None
        for source, indices in wanted:
            for index in indices:
                flights.append(self._ask(source, index, urgent=False, keeps=False))
                if len(flights) == _PREFETCH_FLIGHTS_MAX:
                    first_error = await _all_landed(flights) or first_error
                    flights = []
        first_error = await _all_landed(flights) or first_error
        if first_error is not None:
            raise first_error

    def _replacing(
        self, source: ContentSource, older: Manifest
    ) -> tuple[ContentSource, Sequence[int]]:
        self._older.note(source.drive_id, source.node_id, older)
        self._older.note(source.drive_id, source.node_id, source.manifest)
        chunks = [entry for entry in older.entries if not entry.is_hole]
        lacking = self._store.lacking(source.drive_id, {entry.chunk_id for entry in chunks})
        held = {entry.chunk_id for entry in chunks} - lacking
        appended_bytes_left = sum(entry.length for entry in chunks if entry.chunk_id in held)
        wanted = []
        for index, entry in enumerate(source.manifest.entries):
            if source.manifest.starts[index] < older.size_bytes:
                if _same_place(source.manifest, index, older) in held:
                    wanted.append(index)
            elif entry.length <= appended_bytes_left and not entry.is_hole:
                appended_bytes_left -= entry.length
                wanted.append(index)
        return source, self._lacking(source, wanted)

    def _lacking(self, source: ContentSource, indices: Sequence[int]) -> list[int]:
        entries = source.manifest.entries
        wanted = [index for index in indices if not entries[index].is_hole]
        lacking = self._store.lacking(
            source.drive_id, {entries[index].chunk_id for index in wanted}
        )
        return [index for index in wanted if entries[index].chunk_id in lacking]

    def _ask(
        self, source: ContentSource, index: int, *, urgent: bool, keeps: bool = True
    ) -> Flight:
        entry = source.manifest.entries[index]
        return self._fetcher.ask(
            source,
            entry.chunk_id,
            entry.length,
            have=self._have(source, index),
            urgent=urgent,
            keeps=keeps,
        )

    def _have(self, source: ContentSource, index: int) -> bytes:
        """Return a chunk at hand that is likely like entry `index`, or nothing."""
        older = self._older.other_than(source.drive_id, source.node_id, source.manifest.manifest_id)
        if older is None:
            return b""
        candidate = _same_place(source.manifest, index, older)
        if candidate is None or self._store.lacking(source.drive_id, [candidate]):
            return b""
        return candidate


def _same_place(manifest: Manifest, index: int, older: Manifest) -> ChunkId | None:
    """Return the chunk of `older` where entry `index` of `manifest` begins, None for none."""
    start = manifest.starts[index]
    if start >= older.size_bytes:
        return None
    entry = older.entries[older.index_at(start)]
    return None if entry.is_hole else entry.chunk_id


def _exactly(piece: bytes | memoryview, length: int) -> bytes | memoryview:
    """Return `piece`, which is as long as the manifest says.

    Raises:
        Corruption: Two manifests tell two lengths of one chunk: this one is wrong, and what lies
            behind would be read from the wrong place.
    """
    if len(piece) != length:
        raise Corruption("a chunk that is not as long as its manifest says")
    return piece


async def landed(flight: Flight) -> bytes:
    """Wait for `flight`; return its bytes or raise its error. Checkpoint."""
    await flight.landed.wait()
    if flight.error is not None:
        # A copy: one exception raised in many tasks would gather all their tracebacks.
        raise flight.error.with_traceback(None)
    assert flight.plaintext is not None
    return flight.plaintext


async def _all_landed(flights: Sequence[Flight]) -> Exception | None:
    first_error: Exception | None = None
    for flight in flights:
        await flight.landed.wait()
        first_error = first_error or flight.error
    return first_error
