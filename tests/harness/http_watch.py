"""Which request passes on a connection, and whether it has come to where a trap lies. Pure.

One client at a time speaks HTTP/1.1 in clear, one request behind the other, each with its length;
that is how a device speaks to its server.
"""

import re
from enum import Enum
from typing import Final, NamedTuple

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_REQUEST: Final = re.compile(rb"[A-Z]{3,7} /")
_PATH: Final = re.compile(rb"^[A-Z]+ /v1/(?:drives/[^/]+/)?([^ ?]*)")


class Place(Enum):
    """Where in a request and its answer."""

    REQUEST = "request"
    """Nothing of it has left yet."""
    BODY = "body"
    """The middle of what it carries. A request without a body has no such place."""
    ANSWER = "answer"
    """The server has acted, and nothing of the answer has come."""
    ANSWER_BODY = "answer-body"


class Trap(NamedTuple):
    kind: str
    """As `kind_of` has it."""
    place: Place


def kind_of(head: bytes) -> str:
    """Return the call that a request is, such as `commits` or `blocks/fetch`. Pure."""
    found = _PATH.match(head)
    return found[1].decode() if found else ""


class Conversation:
    """One connection. Give it what comes from either side, in order."""

    def __init__(self) -> None:
        self.kind = ""
        self._head = b""
        self._body_left = 0
        self._is_readable = True

    def up(self, data: bytes, trap: Trap | None) -> tuple[bytes, bool]:
        """Return what of the client's `data` may go on, and whether the trap is sprung by it."""
        if len(data) <= self._body_left and trap is None:
            self._body_left -= len(data)
            return data, False
        passed = bytearray()
        while data and self._is_readable:
            if self._body_left:
                piece, data = data[: self._body_left], data[self._body_left :]
                if trap == (self.kind, Place.BODY):
                    return bytes(passed + piece[: len(piece) // 2]), True
                self._body_left -= len(piece)
                passed += piece
                continue
            self._head += data
            if not _REQUEST.match(self._head) and len(self._head) > 8:
                # TLS, or nobody we know: nothing is seen of it.
                self._is_readable, data = False, self._head
                break
            head, end, data = self._head.partition(_HEAD_END)
            if not end:
                return bytes(passed), False
            self._head = b""
            self.kind = kind_of(head)
            length = _LENGTH.search(head)
            self._body_left = int(length[1]) if length else 0
            if trap == (self.kind, Place.REQUEST):
                return bytes(passed), True
            passed += head + end
        return bytes(passed) + data, False

    def down(self, data: bytes, trap: Trap | None) -> tuple[bytes, bool]:
        """Return what of the server's `data` may go on, and whether the trap is sprung by it."""
        if trap == (self.kind, Place.ANSWER):
            return b"", True
        if trap == (self.kind, Place.ANSWER_BODY):
            body_at = data.find(_HEAD_END) + len(_HEAD_END) if data.startswith(b"HTTP/") else 0
            if body_at < len(data):
                return data[: body_at + (len(data) - body_at) // 2], True
        return data, False
