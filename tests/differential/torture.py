"""Random work on one file by one or several processes, each byte held against a model.

Each process owns stripes of the file that are no multiple of a page, so that every page belongs to
several; what it wrote to its own stripes must always read back, through handles and through maps.
A process that is alone also truncates, and knows the file's size.
"""

import mmap
import os
import random
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

STRIPE_BYTES: Final = 1777
IO_BYTES_MAX: Final = 300_000
JOIN_S: Final = 200.0


@dataclass(frozen=True)
class Torment:
    """What one process does: `steps` random steps as number `index` of `count` processes. The file
    may exist, with at most `size_bytes_max` bytes."""

    path: Path
    size_bytes_max: int
    seed: int
    steps: int
    index: int = 0
    count: int = 1


class _Worker:
    def __init__(self, torment: Torment) -> None:
        self._torment = torment
        self._chance = random.Random(torment.seed * 1009 + torment.index)
        self._alone = torment.count == 1
        self._file = os.open(torment.path, os.O_RDWR | os.O_CREAT, 0o644)
        self._model = bytearray(self._pread(0, torment.size_bytes_max))
        self._log: list[str] = []

    def run(self) -> None:
        steps = [
            (8, self._write), (8, self._read), (2, self._write_map), (3, self._read_map),
            (1, self._reopen), (1, self._sync),
        ]  # fmt: skip
        if self._alone:
            steps += [(2, self._truncate), (1, self._append), (1, self._rewrite)]
        weights = [weight for weight, _ in steps]
        for _ in range(self._torment.steps):
            (_, step), = self._chance.choices(steps, weights)  # fmt: skip
            step()
        self._check(0, self._torment.size_bytes_max, self._pread(0, self._torment.size_bytes_max))
        os.close(self._file)

    # Where -----------------------------------------------------------------------------------

    def _range(self) -> tuple[int, int]:
        """Choose bytes: of any place if alone, else inside one own stripe."""
        chance, size = self._chance, self._torment.size_bytes_max
        if self._alone:
            start = chance.randrange(size)
            length = chance.choice((1, 100, 4096, 65_536, IO_BYTES_MAX))
            return start, min(size, start + chance.randint(1, length))
        stripes = max(1, size // STRIPE_BYTES // self._torment.count)
        stripe = chance.randrange(stripes) * self._torment.count + self._torment.index
        start = stripe * STRIPE_BYTES + chance.randrange(STRIPE_BYTES)
        end = min(start + chance.randint(1, STRIPE_BYTES), (stripe + 1) * STRIPE_BYTES, size)
        return min(start, size - 1), max(end, min(start, size - 1) + 1)

    def _owns(self, at: int) -> bool:
        return self._alone or at // STRIPE_BYTES % self._torment.count == self._torment.index

    # Steps -----------------------------------------------------------------------------------

    def _write(self) -> None:
        start, end = self._range()
        data = self._chance.randbytes(end - start)
        self._note(f"write {start}-{end}")
        written = 0
        while written < len(data):
            written += os.pwrite(self._file, data[written:], start + written)
        self._put(start, data)

    def _append(self) -> None:
        start = len(self._model)
        if start < self._torment.size_bytes_max:
            data = self._chance.randbytes(
                min(self._chance.randint(1, 10_000), self._torment.size_bytes_max - start)
            )
            self._note(f"append {len(data)}")
            with open(self._torment.path, "ab", buffering=0) as file:
                file.write(data)
            self._put(start, data)

    def _rewrite(self) -> None:
        self._note("open with O_TRUNC")
        data = self._chance.randbytes(min(5000, self._torment.size_bytes_max))
        with open(self._torment.path, "wb") as file:
            file.write(data)
        self._model[:] = data

    def _read(self) -> None:
        start, end = self._range()
        self._note(f"read {start}-{end}")
        self._check(start, end, self._pread(start, end - start))

    def _truncate(self) -> None:
        size = self._chance.randrange(self._torment.size_bytes_max + 1)
        self._note(f"truncate {size}")
        os.ftruncate(self._file, size)
        del self._model[size:]
        self._model.extend(bytes(size - len(self._model)))

    def _write_map(self) -> None:
        start, end = self._range()
        end = min(end, os.fstat(self._file).st_size)
        if start >= end:
            return
        data = self._chance.randbytes(end - start)
        self._note(f"write through a map {start}-{end}")
        with mmap.mmap(self._file, 0) as mapped:
            mapped[start:end] = data
            if self._chance.random() < 0.5:
                mapped.flush()
        self._put(start, data)

    def _read_map(self) -> None:
        start, end = self._range()
        end = min(end, os.fstat(self._file).st_size)
        if start >= end:
            return
        self._note(f"read through a map {start}-{end}")
        with mmap.mmap(self._file, 0, access=mmap.ACCESS_READ) as mapped:
            self._check(start, end, mapped[start:end])

    def _reopen(self) -> None:
        self._note("close and open")
        os.close(self._file)
        self._file = os.open(self._torment.path, os.O_RDWR)

    def _sync(self) -> None:
        self._note("fsync")
        os.fsync(self._file)

    # The model -------------------------------------------------------------------------------

    def _put(self, start: int, data: bytes) -> None:
        if start > len(self._model):
            self._model.extend(bytes(start - len(self._model)))
        self._model[start : start + len(data)] = data

    def _pread(self, start: int, length: int) -> bytes:
        pieces = []
        while length and (piece := os.pread(self._file, length, start)):
            pieces.append(piece)
            start, length = start + len(piece), length - len(piece)
        return b"".join(pieces)

    def _check(self, start: int, end: int, found: bytes) -> None:
        expected = bytes(self._model[start:end])
        if self._alone:
            if found == expected:
                return
            assert len(found) == len(expected), (
                f"{len(found)} bytes at {start} instead of {len(expected)} after {self._log[-12:]}"
            )
        for at, (got, wanted) in enumerate(zip(found, expected, strict=False), start):
            assert got == wanted or not self._owns(at), (
                f"byte {at} is {got} and not {wanted} after {self._log[-12:]}"
            )

    def _note(self, what: str) -> None:
        self._log.append(what)


def torment(work: Torment) -> None:
    """Do the work in this process. Raises AssertionError, which tells the last steps."""
    _Worker(work).run()


def torment_together(work: Torment, *, count: int) -> None:
    """Do the work in `count` processes at once, on a file of full size."""
    with work.path.open("wb") as file:
        file.truncate(work.size_bytes_max)
    context = get_context("spawn")
    processes = [
        context.Process(
            target=torment,
            args=(Torment(work.path, work.size_bytes_max, work.seed, work.steps, index, count),),
        )
        for index in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(JOIN_S)
    failed = [process for process in processes if process.exitcode != 0]
    for process in processes:
        process.kill()
    assert not failed, f"{len(failed)} of {count} processes read what they had not written"
