"""The connections under one daemon: how many, how long they live, and how they read."""

from pathlib import Path
from typing import Final

import httpx
from httpcore._async.http11 import AsyncHTTP11Connection

from backend_server.protocol.limits import MIB
from mountfs.transport.receive_buffer import use_whole_reads
from mountfs.transport.tls import trust

# Fetches take 4, two large uploads 8: what remains is for commits, feeds and manifests.
CALL_CONNECTIONS_MAX: Final = 16
CONNECTIONS_MAX: Final = CALL_CONNECTIONS_MAX + 1
"""One more, for the long poll."""
KEEPALIVE_S: Final = 75.0

# Every network read costs some 80 us of Python above it. httpcore reads 64 KiB at a time and has
# no setting for it; with 1 MiB receiving 256 MiB takes 0.43 s of CPU instead of 0.67 s.
READ_BYTES: Final = 1 * MIB
assert isinstance(AsyncHTTP11Connection.READ_NUM_BYTES, int)
AsyncHTTP11Connection.READ_NUM_BYTES = READ_BYTES
use_whole_reads()


def open_carrier(*, is_tls: bool, ca_file: Path | None) -> httpx.AsyncHTTPTransport:
    """Return a pool of connections; nothing is connected yet.

    Raises:
        SetupError: `ca_file` cannot be used.
    """
    return httpx.AsyncHTTPTransport(
        verify=trust(ca_file) if is_tls else False,
        trust_env=False,
        limits=httpx.Limits(
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEEPALIVE_S,
        ),
    )
