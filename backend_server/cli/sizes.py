"""Sizes as people write them."""

import re
from typing import Final

_FACTORS: Final = {
    "": 1,
    "B": 1,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


def parse_size(text: str) -> int:
    """Return bytes: `10GiB`, `1.5 TB`, `4096`. Pure.

    Raises:
        ValueError: Not a size, or one beyond 8 EiB.
    """
    match = _SIZE.fullmatch(text.strip())
    factor = _FACTORS.get(match[2].upper()) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is no size; write it like 10GiB")
    size_bytes = round(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor
    if size_bytes >= 1 << 63:
        raise ValueError(f"{text!r} is more than any disk holds")
    return size_bytes


def format_size(size_bytes: int) -> str:
    """Return a size for people: `10.0 GiB`. Pure."""
    if size_bytes < 1 << 10:
        return f"{size_bytes} B"
    unit, factor = next(
        (unit, factor)
        for unit, factor in (
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        )
        if size_bytes >= factor
    )
    return f"{size_bytes / factor:.1f} {unit}"
