"""Reading and writing a file's bytes: overlay over committed content."""

from collections.abc import Awaitable
from typing import Final, Protocol

import trio

from backend_server.protocol.identity import DriveId, ManifestId, NodeId, RevisionId
from mountfs.core.content import ContentSource, Manifest, committed_content
from mountfs.core.layers import FromBase, FromLayer, parts
from mountfs.errors import DeadlinePassed
from mountfs.state.overlay import Overlay, Source
from mountfs.state.overlays import Overlays

READ_DEADLINE_S: Final = 10.0
"""For all that one read needs of the server: the manifest, and the bytes."""
GIVEN_UP_S: Final = 1.0
"""Behind a read that waited in vain. The kernel asks again, page by page, for what it could not
read ahead: each program's read(2) would wait twice as long."""
_AT_HAND_S: Final = 0.05

Data = bytes | memoryview


class CleanReader(Protocol):
    """Reads committed bytes; one a handle, so that it can read ahead."""

    async def read(self, source: ContentSource, offset: int, length: int) -> bytes | memoryview:
        """Return exactly the bytes asked for. Raises `Unavailable` or `Corruption`."""
        ...


class ManifestLoader(Protocol):
    async def load(
        self,
        drive_id: DriveId,
        node_id: NodeId,
        revision: RevisionId,
        manifest_id: ManifestId,
        embedded_entries: bytes,
    ) -> Manifest: ...


class ContentIo:
    """Reads what programs see. Stateless but for what it is made of."""

    def __init__(self, drive_id: DriveId, overlays: Overlays, manifests: ManifestLoader) -> None:
        self._drive_id = drive_id
        self._overlays = overlays
        self._manifests = manifests

    async def read(
        self,
        source: Source | None,
        overlay: Overlay | None,
        reader: CleanReader,
        offset: int,
        length: int,
    ) -> bytes | memoryview:
        """Return the bytes from `offset`, fewer than `length` only at the end of the file.

        All of one answer is of one moment: layers and source are taken, and dirty bytes copied,
        before the first await.
        """
        if overlay is None:
            if source is None:
                return b""
            length = min(length, source.size_bytes - offset)
            return await self._read_clean(source, reader, offset, length) if length > 0 else b""
        source = overlay.source
        end = min(offset + length, overlay.size_bytes)
        if offset >= end:
            return b""
        if not overlay.generations:
            assert source is not None
            return await self._read_clean(source, reader, offset, end - offset)
        layers = list(overlay.generations)
        wanted = list(parts(layers, offset, end))
        pieces: list[bytes | memoryview | None] = []
        for part in wanted:
            if isinstance(part, FromLayer):
                pieces.append(self._overlays.read(layers[part.layer_index], part.extent))
            elif isinstance(part, FromBase) and source is not None:
                pieces.append(None)
            else:
                pieces.append(bytes(part.end - part.start))
        for index, part in enumerate(wanted):
            if pieces[index] is None:
                assert source is not None
                pieces[index] = await self._read_clean(
                    source, reader, part.start, part.end - part.start
                )
        if len(pieces) == 1:
            return pieces[0] or b""
        return b"".join(piece for piece in pieces if piece is not None)

    async def content_source(self, source: Source) -> ContentSource:
        """Return `source` with its manifest, from memory, cache or network."""
        manifest = await self._manifests.load(
            self._drive_id,
            NodeId(source.node_id),
            RevisionId(source.revision),
            ManifestId(source.manifest_id),
            source.entries,
        )
        return committed_content(
            self._drive_id,
            NodeId(source.node_id),
            RevisionId(source.revision),
            manifest,
            size_bytes=source.size_bytes,
        )

    async def _read_clean(
        self, source: Source, reader: CleanReader, offset: int, length: int
    ) -> bytes | memoryview:
        asked_at_s = trio.current_time()
        content = await self.content_source(source)
        if trio.current_time() - asked_at_s < _AT_HAND_S:
            return await reader.read(content, offset, length)  # which has a deadline of its own
        with trio.move_on_at(asked_at_s + READ_DEADLINE_S):
            return await reader.read(content, offset, length)
        raise DeadlinePassed(f"no bytes from the server within {READ_DEADLINE_S:.0f} s")


async def at_hand(read: Awaitable[Data]) -> Data:
    """Return what `read` returns, if it need not wait.

    Raises:
        DeadlinePassed: It must, and the server did not answer a moment ago.
    """
    with trio.move_on_after(0):
        return await read
    raise DeadlinePassed("the server did not answer a moment ago")
