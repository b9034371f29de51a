"""What staged bytes were: a digest for each piece of a staging file that nobody writes to now.

A write cannot pay for a digest, but time can: what has waited for a minute is sealed
(`app/staging_upkeep`), and at a close whatever is staged, for it is frozen at the next opening. So
a bit that flips later is seen before its piece is read or sent. A later write breaks the seal
first. What a process left that was killed within that minute has no seal: of that only the length
can be checked.

    ID.seal     BLAKE3 of the rest (32) | length of the file (8, big-endian) |
                of each piece: its number (8) | its BLAKE3 (32)

It is made as ID.seal.new, beside a file that may be written to meanwhile, and then put in its place
or dropped (`state/staging`). A seal that is not whole counts as none. A piece is PIECE_BYTES of the
file, the last one shorter. One that was cut off since is not judged by its digest: that bytes are
missing shows anyway.
"""

import os
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from blake3 import blake3

from mountfs.core.overlay_laws import Range

PIECE_BYTES: Final = 128 << 10
SEALED_BYTES_MAX: Final = 4 << 30
"""One close seals no more: reading so much takes a few seconds, and somebody waits for its end."""

_LENGTH: Final = struct.Struct(">Q")
_ROW: Final = struct.Struct(">Q32s")
_DIGEST_BYTES: Final = 32
_NEW: Final = ".seal.new"


class Seal:
    """The pieces of one staging file that nobody has looked at since the opening.

    `find_broken` may be called from any thread.
    """

    def __init__(self, file_bytes: int, pieces: dict[int, bytes]) -> None:
        self._file_bytes = file_bytes
        self._unseen = pieces

    def find_broken(self, descriptor: int, start: int, end: int) -> Range | None:
        """Return the first piece that touches `[start, end)` and is not what was sealed.

        Each piece that is well is looked at once. Raises OSError.
        """
        if not self._unseen:
            return None
        for number in range(start // PIECE_BYTES, -(-end // PIECE_BYTES)):
            sealed = self._unseen.get(number)
            if sealed is None:
                continue
            if self._is_broken(descriptor, number, sealed):
                return _range_of(number)
            self._unseen.pop(number, None)
        return None

    def find_all_broken(self, descriptor: int) -> tuple[Range, ...]:
        """Return every piece that is not what was sealed. Raises OSError."""
        return tuple(
            _range_of(number)
            for number, sealed in sorted(self._unseen.items())
            if self._is_broken(descriptor, number, sealed)
        )

    def _is_broken(self, descriptor: int, number: int, sealed: bytes) -> bool:
        found = _piece(descriptor, number)
        is_cut_off = len(found) < min(PIECE_BYTES, self._file_bytes - number * PIECE_BYTES)
        return not is_cut_off and blake3(found).digest() != sealed


def seal_path(staging_file: Path) -> Path:
    return staging_file.with_name(f"{staging_file.name}.seal")


def load_seal(staging_file: Path) -> Seal | None:
    """Return the seal of a staging file; None: it has none that can be believed."""
    try:
        stored = seal_path(staging_file).read_bytes()
    except OSError:
        return None
    body = stored[_DIGEST_BYTES:]
    if blake3(body).digest() != stored[:_DIGEST_BYTES] or len(body) % _ROW.size != _LENGTH.size:
        return None
    (file_bytes,) = _LENGTH.unpack_from(body)
    return Seal(file_bytes, dict(_ROW.iter_unpack(body[_LENGTH.size :])))


def find_spoilt(staging_file: Path) -> tuple[Range, ...]:
    """Return the pieces of a staging file that are not what they were at the last close."""
    seal = load_seal(staging_file)
    if seal is None or not staging_file.exists():
        return ()
    descriptor = os.open(staging_file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return seal.find_all_broken(descriptor)
    finally:
        os.close(descriptor)


def make_seal(
    staging_file: Path, staged: Iterable[Range], check: Callable[[], object] = lambda: None
) -> Seal:
    """Return the seal of the pieces that `staged` touches; `put_seal` makes it the file's.

    Raises OSError, and what `check` raises, which is called before each.
    """
    numbers = sorted(
        {
            number
            for start, end in staged
            for number in range(start // PIECE_BYTES, -(-end // PIECE_BYTES))
        }
    )
    pieces = {}
    descriptor = os.open(staging_file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        file_bytes = os.fstat(descriptor).st_size
        for number in numbers:
            check()
            pieces[number] = blake3(_piece(descriptor, number)).digest()
    finally:
        os.close(descriptor)
    rows = (_ROW.pack(number, digest) for number, digest in pieces.items())
    body = _LENGTH.pack(file_bytes) + b"".join(rows)
    _new_path(staging_file).write_bytes(blake3(body).digest() + body)
    return Seal(file_bytes, pieces)


def put_seal(staging_file: Path) -> None:
    """Make the seal that was made last the file's. Raises OSError."""
    _new_path(staging_file).replace(seal_path(staging_file))


def drop_new_seal(staging_file: Path) -> None:
    """Remove a seal that was made and not put; if it cannot be removed, the next opening will."""
    with suppress(OSError):
        _new_path(staging_file).unlink()


def _new_path(staging_file: Path) -> Path:
    return staging_file.with_name(f"{staging_file.name}{_NEW}")


def _piece(descriptor: int, number: int) -> bytes:
    return os.pread(descriptor, PIECE_BYTES, number * PIECE_BYTES)


def _range_of(number: int) -> Range:
    return Range(number * PIECE_BYTES, (number + 1) * PIECE_BYTES)
