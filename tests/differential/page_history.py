"""What a file's pages have been, and whether what another device reads of them can be. Pure.

Time is counted in writes. A page that reads as what it was from write 7 to write 9 tells that the
reader is somewhere between these; the next page must not tell that it was before.
"""

from typing import Final

PAGE_BYTES: Final = 4096


class ImpossibleRead(AssertionError):
    """The page was never so, or was so only before what has been read already."""


class PageHistory:
    """All contents of one file of fixed size, page by page. One writer; readers in any thread."""

    def __init__(self, content: bytes) -> None:
        self._content = bytearray(content)
        self._versions: list[list[tuple[int, bytes]]] = [
            [(0, content[at : at + PAGE_BYTES])] for at in range(0, len(content), PAGE_BYTES)
        ]
        self.writes_count = 0

    @property
    def content(self) -> bytes:
        return bytes(self._content)

    @property
    def pages_count(self) -> int:
        return len(self._versions)

    def write(self, offset: int, data: bytes) -> None:
        """Note a write that is about to be made; it is one moment for all its pages."""
        self.writes_count += 1
        self._content[offset : offset + len(data)] = data
        for page in range(offset // PAGE_BYTES, (offset + len(data) - 1) // PAGE_BYTES + 1):
            start = page * PAGE_BYTES
            now = bytes(self._content[start : start + PAGE_BYTES])
            self._versions[page].append((self.writes_count, now))

    def moments_of(self, page: int, found: bytes) -> list[tuple[int, int | None]]:
        """Return from and until which write the page was so; None: it still is."""
        versions = list(self._versions[page])
        ends = [begin for begin, _ in versions[1:]]
        return [
            (begin, ends[number] if number < len(ends) else None)
            for number, (begin, content) in enumerate(versions)
            if content == found
        ]


class Reader:
    """One device's reads of a file: time goes on for it, and never back."""

    def __init__(self, history: PageHistory) -> None:
        self._history = history
        self.at_write = 0
        """The reader is at this write, or later."""

    def read(self, page: int, found: bytes) -> None:
        """Take what a page read as. Raises ImpossibleRead."""
        moments = self._history.moments_of(page, found)
        if not moments:
            raise ImpossibleRead(f"page {page} never was {found[:16].hex()}…")
        possible = [begin for begin, end in moments if end is None or end > self.at_write]
        if not possible:
            raise ImpossibleRead(
                f"page {page} was so at writes {moments}, behind write {self.at_write}"
            )
        self.at_write = max(self.at_write, possible[0])
