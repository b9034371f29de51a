"""Sizes as people write and read them."""

import re
from typing import Final

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_DECIMAL: Final = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_PATTERN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)(B?)", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the bytes that `10GiB`, `10G` (both 2^30), `10GB` (10^9) or `4096` means. Pure.

    Raises:
        ValueError: Not a size.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 10GiB")
    number, unit, binary, byte = match[1], match[2].upper(), match[3], match[4]
    is_decimal = bool(unit and byte and not binary)
    return int(float(number) * (_DECIMAL[unit] if is_decimal else _UNITS[unit]))


def size_text(size_bytes: float) -> str:
    """Return `size_bytes` for a person, for example `1.5 MiB`. Pure."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def rate_text(bits_per_s: float) -> str:
    """Return a rate for a person, in bytes a second. Pure."""
    return f"{size_text(bits_per_s / 8)}/s"
