"""What two processes did to their folders, in one order, and which steps had returned by then.

The bytes are described in `stopper.c`.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CLIENT: Final = 1
SERVER: Final = 2
SCRIPT: Final = 3
"""Parties of a recording. The script records that a step has returned."""

_HEADER: Final = struct.Struct("<IBBHHHQQ")
_DURABLE: Final = 1


@dataclass(frozen=True, slots=True)
class Record:
    """`what`: W write, T size, B and E begin and end of a sync, C D S L R U names, M step done.

    `offset` is the size for T. `token` joins B and E. `is_durable`: written through (O_DSYNC).
    """

    what: str
    party: int
    path: Path
    other: str
    offset: int
    token: int
    is_durable: bool
    data: bytes


def load_recording(path: Path) -> Iterator[Record]:
    """Yield what was recorded, in order."""
    recorded = memoryview(path.read_bytes())
    at = 0
    while at < len(recorded):
        size, what, party, path_bytes, other_bytes, flags, offset, token = _HEADER.unpack_from(
            recorded, at
        )
        rest = recorded[at + _HEADER.size : at + size]
        other_end = path_bytes + other_bytes
        yield Record(
            what=chr(what),
            party=party,
            path=Path(os.fsdecode(bytes(rest[:path_bytes]))),
            other=os.fsdecode(bytes(rest[path_bytes:other_end])),
            offset=offset,
            token=token,
            is_durable=what == ord("W") and bool(flags & _DURABLE),
            data=bytes(rest[other_end:]),
        )
        at += size


class StepMarks:
    """Writes into a recording that a step of the script has returned."""

    def __init__(self, recording: Path) -> None:
        self._descriptor = os.open(recording, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def mark(self) -> None:
        record = _HEADER.pack(_HEADER.size, ord("M"), SCRIPT, 0, 0, 0, 0, 0)
        os.write(self._descriptor, record)

    def close(self) -> None:
        os.close(self._descriptor)
