"""Every bound that client and server must agree on, and how the bounds relate."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# Chunks and blocks -------------------------------------------------------------------------

CHUNK_SIZE_BYTES_MIN: Final = 64 * KIB
CHUNK_SIZE_BYTES_AVG: Final = 256 * KIB
CHUNK_SIZE_BYTES_MAX: Final = 1 * MIB
assert CHUNK_SIZE_BYTES_MIN < CHUNK_SIZE_BYTES_AVG < CHUNK_SIZE_BYTES_MAX

BLOCK_OVERHEAD_BYTES_MAX: Final = 1 * KIB
BLOCK_SIZE_BYTES_MAX: Final = CHUNK_SIZE_BYTES_MAX + BLOCK_OVERHEAD_BYTES_MAX

INLINE_CONTENT_BYTES_MAX: Final = 64 * KIB
"""Content up to this travels inside the commit; larger content goes through an upload."""
# The chunker never cuts below its minimum, so inline content is always a single chunk.
assert INLINE_CONTENT_BYTES_MAX <= CHUNK_SIZE_BYTES_MIN

# Manifests -----------------------------------------------------------------------------------

FILE_SIZE_BYTES_MAX: Final = 1 << 50
SEGMENT_ENTRIES_AVG: Final = 64
SEGMENT_ENTRIES_MAX: Final = 256
EMBEDDED_ENTRIES_MAX: Final = 4
"""A manifest of at most so many entries travels inside the node's state."""

# Bodies --------------------------------------------------------------------------------------

FRAME_HEADER_BYTES_MAX: Final = 64 * KIB
BLOCKS_BODY_BYTES_MAX: Final = 16 * MIB
"""The largest body of one block upload. A client aims at half of it."""
FETCH_CHUNKS_MAX: Final = 4096
FETCH_BYTES_MAX: Final = 16 * MIB
"""A client asks for at most so many plaintext bytes of blocks in one request."""
COMMIT_OPERATIONS_MAX: Final = 1000
COMMIT_INLINE_BYTES_MAX: Final = 12 * MIB
COMMIT_BODY_BYTES_MAX: Final = 24 * MIB
MANIFESTS_PER_FETCH_MAX: Final = 256
UPLOAD_CHUNKS_MAX: Final = 8192
"""Chunks that one announcement may name; a larger file announces itself in several."""
CHANGES_PAGE_ROWS_MAX: Final = 5000
JSON_BODY_BYTES_MAX: Final = 64 * KIB
SYMLINK_TARGET_BYTES_MAX: Final = 4095
NAME_BYTES_MAX: Final = 255
DEVICE_NAME_LENGTH_MAX: Final = 255
"""In characters."""
LINKS_MAX: Final = 65_000
"""Names of one node, as ext4 has it."""

LOST_BLOCKS_PAGE_MAX: Final = 1000
# A page can be announced in one call.
assert LOST_BLOCKS_PAGE_MAX <= UPLOAD_CHUNKS_MAX

# One block must always fit in one body; batching is an optimisation only.
assert BLOCK_SIZE_BYTES_MAX + FRAME_HEADER_BYTES_MAX < BLOCKS_BODY_BYTES_MAX
assert COMMIT_INLINE_BYTES_MAX >= INLINE_CONTENT_BYTES_MAX
assert COMMIT_INLINE_BYTES_MAX < COMMIT_BODY_BYTES_MAX

# Time ----------------------------------------------------------------------------------------

POLL_HOLD_S: Final = 55.0
POLL_CLIENT_TIMEOUT_S: Final = 70.0
# The server must answer before the client gives up, or every quiet poll looks like an outage.
assert POLL_HOLD_S < POLL_CLIENT_TIMEOUT_S

UPLOAD_LEASE_S: Final = 3600.0
"""A pending revision is reaped this long after its last announcement or block."""

DEFAULT_QUOTA_BYTES: Final = 10 * GIB
