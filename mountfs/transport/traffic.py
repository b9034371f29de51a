"""How much went over the wire, for `status` and for tests."""

from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """Growing counts. Bytes are those of HTTP (headers and bodies as sent), without TLS and TCP."""

    requests: int = 0
    up_bytes: int = 0
    down_bytes: int = 0
