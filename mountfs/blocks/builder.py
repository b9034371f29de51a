"""From a plan (`core.delta`) to new chunks, a window at a time.

Reads dirty bytes and the base chunks that they touch, nothing else. At most two windows of bytes
are held here: what is being cut, and the open end of a stretch that goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from backend_server.protocol.account_messages import DriveInfo
from backend_server.protocol.chunking import Chunker
from backend_server.protocol.identity import ChunkId, chunk_id_of
from backend_server.protocol.limits import MIB
from backend_server.protocol.manifests import HOLE, Entry
from mountfs.blocks.reader import ContentReader
from mountfs.blocks.workers import Workers
from mountfs.core.content import DirtyContent
from mountfs.core.delta import FromBase, FromDirty, FromZeros, Gap, Keep, Part, Step, Stretch

WINDOW_BYTES: Final = 2 * MIB
# Partly overwritten chunks that are asked for before their window is built.
_AHEAD_CHUNKS: Final = 24


class NewChunk(NamedTuple):
    """A chunk that was built. `start`: its offset in the new file.

    `replaces` as in `Stretch`. `ends_stretch`: what follows it in the file is not new.
    """

    entry: Entry
    start: int
    plaintext: bytes
    replaces: int | None
    ends_stretch: bool


class Window(NamedTuple):
    """The next entries of the new file, in order, and the chunks among them that are new."""

    entries: list[Entry]
    chunks: list[NewChunk]


class _Job(NamedTuple):
    """A part of a stretch, with all that a worker needs to build it."""

    start: int
    parts: list[FromDirty | bytes | memoryview]
    replaces: int | None
    is_last: bool


class _Slice(NamedTuple):
    """At most a window of a stretch."""

    start: int
    length: int
    parts: list[Part]
    replaces: int | None
    is_last: bool


class ContentBuilder:
    """Builds the windows of one file. Not for two tasks at once."""

    def __init__(
        self,
        content: DirtyContent,
        steps: Sequence[Step],
        drive: DriveInfo,
        reader: ContentReader,
        workers: Workers,
    ) -> None:
        self._content = content
        self._base = content.base
        self._chunk_key = drive.chunk_key
        self._reader = reader
        self._workers = workers
        self._chunker = Chunker(drive.chunker)
        self._slices = _slices(steps)
        self._touched = _base_indices(steps)
        self._touched_at = 0
        self._carry = b""
        """The open end of the stretch being cut: its last boundary may not be one."""

    async def next_window(self) -> Window | None:
        """Return the next window, None when the file is complete. Checkpoint.

        Raises: as `ContentReader.read_chunks`, for partly overwritten chunks.
        """
        steps: list[Keep | Gap | _Slice] = []
        size_bytes = 0
        while size_bytes < WINDOW_BYTES:
            step = next(self._slices, None)
            if step is None:
                break
            steps.append(step)
            if isinstance(step, _Slice):
                size_bytes += step.length
        if not steps:
            return None
        touched = await self._touched_chunks(steps)
        work = [self._work(step, touched) for step in steps]
        return await self._workers.run(self._build, work) if size_bytes else self._build(work)

    async def _touched_chunks(self, steps: Sequence[Keep | Gap | _Slice]) -> dict[int, bytes]:
        """Return the base chunks that `steps` take bytes from, fetched together."""
        indices = _base_indices(steps)
        if not indices:
            return {}
        assert self._base is not None
        self._touched_at += len(indices)
        ahead = self._touched[self._touched_at : self._touched_at + _AHEAD_CHUNKS]
        self._reader.ask_chunks_ahead(self._base, ahead)
        return dict(zip(indices, await self._reader.read_chunks(self._base, indices), strict=True))

    def _work(self, step: Keep | Gap | _Slice, touched: dict[int, bytes]) -> list[Entry] | _Job:
        match step:
            case Keep(first, entry_count):
                assert self._base is not None
                return list(self._base.manifest.entries[first : first + entry_count])
            case Gap(length):
                return [Entry(HOLE, length)]
        parts: list[FromDirty | bytes | memoryview] = []
        for part in step.parts:
            match part:
                case FromDirty():
                    parts.append(part)
                case FromZeros(length):
                    parts.append(bytes(length))
                case FromBase(index, within, length):
                    parts.append(memoryview(touched[index])[within : within + length])
        return _Job(step.start, parts, step.replaces, step.is_last)

    def _build(self, work: list[list[Entry] | _Job]) -> Window:
        """Read, cut and hash. Runs in a worker; nobody else touches this object meanwhile."""
        window = Window([], [])
        for item in work:
            if isinstance(item, list):
                window.entries.extend(item)
                continue
            for chunk in self._cut(item):
                window.entries.append(chunk.entry)
                window.chunks.append(chunk)
        return window

    def _cut(self, job: _Job) -> Iterator[NewChunk]:
        read = self._content.read_dirty
        pieces: list[bytes | memoryview] = [self._carry] if self._carry else []
        for part in job.parts:
            if isinstance(part, FromDirty):
                pieces.append(_read_exactly(read, part))
            else:
                pieces.append(part)
        start = job.start - len(self._carry)
        self._carry = b""
        whole = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
        if job.replaces is not None:
            yield self._chunk(whole, start, job.replaces, True)
            return
        view = memoryview(whole)
        lengths = list(self._chunker.cut(whole))
        at = 0
        for nth, length in enumerate(lengths):
            is_last = nth == len(lengths) - 1
            plaintext = bytes(view[at : at + length])
            if is_last and not job.is_last:
                self._carry = plaintext
                return
            yield self._chunk(plaintext, start + at, None, is_last)
            at += length

    def _chunk(
        self, plaintext: bytes, start: int, replaces: int | None, ends_stretch: bool
    ) -> NewChunk:
        chunk_id: ChunkId = chunk_id_of(plaintext, chunk_key=self._chunk_key)
        return NewChunk(Entry(chunk_id, len(plaintext)), start, plaintext, replaces, ends_stretch)


def _slices(steps: Sequence[Step]) -> Iterator[Keep | Gap | _Slice]:
    """Yield `steps` with the stretches that are cut anew in slices of a window. Pure."""
    for step in steps:
        if not isinstance(step, Stretch):
            yield step
            continue
        if step.replaces is not None:
            length = step.end - step.start
            yield _Slice(step.start, length, list(step.parts), step.replaces, True)
            continue
        at = step.start
        parts: list[Part] = []
        taken = 0
        for part in step.parts:
            rest: Part | None = part
            while rest is not None:
                head, rest = _split(rest, WINDOW_BYTES - taken)
                parts.append(head)
                taken += _length(head)
                is_last = at + taken == step.end
                if taken == WINDOW_BYTES or is_last:
                    yield _Slice(at, taken, parts, None, is_last)
                    at, parts, taken = at + taken, [], 0


def _base_indices(steps: Sequence[Step | _Slice]) -> list[int]:
    """Return the entries of the base that `steps` take bytes from, each once, in order. Pure."""
    return list(
        dict.fromkeys(
            part.entry_index
            for step in steps
            if isinstance(step, Stretch | _Slice)
            for part in step.parts
            if isinstance(part, FromBase)
        )
    )


def _length(part: Part) -> int:
    return part.end - part.start if isinstance(part, FromDirty) else part.length


def _split(part: Part, length: int) -> tuple[Part, Part | None]:
    if _length(part) <= length:
        return part, None
    match part:
        case FromDirty(start, end):
            return FromDirty(start, start + length), FromDirty(start + length, end)
        case FromZeros(whole):
            return FromZeros(length), FromZeros(whole - length)
        case FromBase(index, within, whole):
            head = FromBase(index, within, length)
            return head, FromBase(index, within + length, whole - length)


def _read_exactly(read: Callable[[int, int], bytes], part: FromDirty) -> bytes:
    data = read(part.start, part.end - part.start)
    assert len(data) == part.end - part.start
    return data
