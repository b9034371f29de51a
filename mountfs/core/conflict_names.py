"""Names that we make: `report (conflict of LAPTOP, 2026-11-20).txt`."""

from collections.abc import Callable
from typing import Final

from backend_server.protocol.limits import NAME_BYTES_MAX

_EXTENSION_BYTES_MAX: Final = 32
_ATTEMPTS_MAX: Final = 10_000


def conflict_name(
    name: bytes, *, device: str, date: str, is_taken: Callable[[bytes], bool]
) -> bytes:
    """Return a free name for our side of a conflict, at most 255 bytes. Pure if `is_taken` is.

    The extension is kept, so that the copy opens with the same program; the stem is cut where the
    whole would be too long, never inside a UTF-8 character.
    """
    dot = name.rfind(b".")
    has_extension = dot > 0 and len(name) - dot <= _EXTENSION_BYTES_MAX
    stem, extension = (name[:dot], name[dot:]) if has_extension else (name, b"")
    # A device's name is a person's word: what no file name may hold is left out.
    shown = device.replace("/", "-").replace("\0", "")
    for attempt in range(1, _ATTEMPTS_MAX):
        count = f" {attempt}" if attempt > 1 else ""
        suffix = f" (conflict of {shown}, {date}{count})".encode()
        suffix = _cut(suffix, NAME_BYTES_MAX - len(extension) - 1)
        made = _cut(stem, NAME_BYTES_MAX - len(suffix) - len(extension)) + suffix + extension
        if not is_taken(made):
            return made
    raise AssertionError("ten thousand conflict copies of one name")


def _cut(text: bytes, length: int) -> bytes:
    if len(text) <= length:
        return text
    while length > 0 and text[length] & 0xC0 == 0x80:
        length -= 1
    return text[:length]
