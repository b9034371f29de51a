"""Bytes of an open file, read ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.core.content import ContentSource
from mountfs.core.read_ahead import ReadPattern, plan_read_ahead

if TYPE_CHECKING:
    from mountfs.blocks.reader import ContentReader


class ReadStream:
    """Reads one open file and sees how it is read. Needs no closing."""

    __slots__ = ("_pattern", "_reader", "_source")

    def __init__(self, reader: ContentReader, source: ContentSource) -> None:
        self._reader = reader
        self._source = source
        self._pattern = ReadPattern()

    @property
    def source(self) -> ContentSource:
        return self._source

    def update_source(self, source: ContentSource) -> None:
        """Read `source` from now on; what the old one has makes fetching it cheaper."""
        if source.manifest.manifest_id != self._source.manifest.manifest_id:
            self._reader.note_older(self._source)
            self._reader.note_older(source)
            self._pattern = ReadPattern()
        self._source = source

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        """Return bytes as `read` does, None if one of them is not on this device."""
        self._look_ahead(offset, length)
        return self._reader.read_nowait(
            self._source, offset, length, whole=self._pattern.is_sequential
        )

    async def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer at the end. Raises as `ContentReader`."""
        self._look_ahead(offset, length)
        return await self._reader.read(
            self._source, offset, length, whole=self._pattern.is_sequential
        )

    def _look_ahead(self, offset: int, length: int) -> None:
        source = self._source
        self._pattern, ahead = plan_read_ahead(
            self._pattern,
            offset=offset,
            length=length,
            size_bytes=source.manifest.size_bytes,
            link_bytes=self._reader.link_bytes,
        )
        if ahead.start < ahead.end:
            self._reader.ask_ahead(source, ahead.start, ahead.end)
