"""Our receive buffer answers as h11's own does, whatever is read and asked in whatever order."""

from collections.abc import Callable
from typing import Any

import h11
import pytest
from h11._receivebuffer import ReceiveBuffer
from hypothesis import given
from hypothesis import strategies as st

from mountfs.transport.receive_buffer import WholeReads, use_whole_reads

READS = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"\n", b"\r", b"\r\n", b"\r\n\r\n", b"a: b\r\n", b"5\r\nhello\r\n", b"\n\n"]),
)
ASK: dict[str, Callable[[ReceiveBuffer], Any]] = {
    "at most 1": lambda buffer: buffer.maybe_extract_at_most(1),
    "at most 7": lambda buffer: buffer.maybe_extract_at_most(7),
    "line": lambda buffer: buffer.maybe_extract_next_line(),
    "lines": lambda buffer: buffer.maybe_extract_lines(),
    "all": bytes,
    "length": len,
    "is there": bool,
    "invalid": lambda buffer: buffer.is_next_line_obviously_invalid_request_line(),
}


@given(st.lists(st.one_of(READS, st.sampled_from(sorted(ASK))), max_size=30))
def test_it_answers_as_the_original(steps: list[bytes | str]) -> None:
    ours, original = WholeReads(), ReceiveBuffer()
    for step in steps:
        if isinstance(step, bytes):
            ours += step
            original += step
        else:
            assert ASK[step](ours) == ASK[step](original), step
    assert bytes(ours) == bytes(original)


def test_what_was_taken_is_not_held() -> None:
    buffer = WholeReads()
    buffer += b"line\r\n" + bytes(1_000_000)
    buffer.maybe_extract_next_line()
    buffer.maybe_extract_at_most(1_000_000)
    assert buffer._read == b""


@pytest.mark.parametrize("framing", [b"content-length: 300000", b"transfer-encoding: chunked"])
@given(st.lists(st.integers(1, 70_000), min_size=1, max_size=20))
def test_a_connection_receives_a_body_with_it(framing: bytes, sizes: list[int]) -> None:
    use_whole_reads()
    body = bytes(range(250)) * 1200
    wire = body
    if framing.startswith(b"transfer"):
        wire = b"".join(
            b"%x\r\n%b\r\n" % (500, body[at : at + 500]) for at in range(0, 300_000, 500)
        )
        wire += b"0\r\n\r\n"
    wire = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + wire
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    received = b""
    at = turn = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            size = sizes[turn % len(sizes)]
            connection.receive_data(wire[at : at + size])
            at, turn = at + size, turn + 1
        elif isinstance(event, h11.Data):
            received += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
    assert received == body
