"""What h11 keeps of a connection until it understands it, without copying each byte three times.

h11 appends what was read to one bytearray, and slices a body's bytes off it twice. Here what was
read stays as it came: a body's bytes are views of it, and only what an event left over (part of a
line) is joined to the next read. In a cold read of a large file those copies were a tenth of the
time of the daemon's loop (py-spy).

`use_whole_reads` puts it in place of h11's own, for the process. It can go when h11 hands out what
it was given (h11/_receivebuffer.py of 0.16 says how it copies).
"""

import h11._connection
from h11._receivebuffer import ReceiveBuffer


class WholeReads(ReceiveBuffer):
    """As `h11._receivebuffer.ReceiveBuffer`, which tells what each method does."""

    def __init__(self) -> None:
        super().__init__()
        self._read = b""
        self._at = 0

    def __iadd__(self, byteslike: bytes | bytearray) -> "WholeReads":
        left = self._read[self._at :] if self._at < len(self._read) else b""
        self._read = left + byteslike if left else bytes(byteslike)
        self._at = 0
        return self

    def __len__(self) -> int:
        return len(self._read) - self._at

    def __bytes__(self) -> bytes:
        return self._read[self._at :]

    def maybe_extract_at_most(self, count: int) -> memoryview | None:  # type: ignore[override]
        end = min(self._at + count, len(self._read))
        if end == self._at:
            return None
        taken = memoryview(self._read)[self._at : end]
        self._advance(end)
        return taken

    def maybe_extract_next_line(self) -> bytearray | None:
        found = self._read.find(b"\r\n", self._at)
        return None if found < 0 else self._take(found + 2)

    def maybe_extract_lines(self) -> list[bytearray] | None:
        for immediate in (b"\n", b"\r\n"):
            if self._read.startswith(immediate, self._at):
                self._advance(self._at + len(immediate))
                return []
        found = self._read.find(b"\n\r\n", self._at)
        end = found + 3 if found >= 0 else len(self._read)
        # Behind the headers lies up to a MiB of body: not searched.
        bare = self._read.find(b"\n\n", self._at, end)
        if bare >= 0:
            end = bare + 2
        elif found < 0:
            return None
        lines = self._take(end).split(b"\n")
        for line in lines:
            if line.endswith(b"\r"):
                del line[-1]
        return lines[:-2]

    def is_next_line_obviously_invalid_request_line(self) -> bool:
        return self._at < len(self._read) and self._read[self._at] < 0x21

    def _take(self, end: int) -> bytearray:
        taken = bytearray(self._read[self._at : end])
        self._advance(end)
        return taken

    def _advance(self, end: int) -> None:
        self._at = end
        if end == len(self._read):
            # An idle connection must not hold on to the last MiB that it brought.
            self._read, self._at = b"", 0


def use_whole_reads() -> None:
    """Let every h11 connection that is made from now on receive like this."""
    h11._connection.ReceiveBuffer = WholeReads  # type: ignore[attr-defined]
