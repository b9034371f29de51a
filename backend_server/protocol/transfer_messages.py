"""Uploads, blocks and manifests, both ways: msgpack, and blocks ride in frames (`frames.py`).

Structs that come by the thousand are arrays on the wire: fields are only ever appended.
"""

import msgspec

from backend_server.protocol.manifests import Splice


class ChunkLength(msgspec.Struct, frozen=True, array_like=True):
    chunk_id: bytes
    length: int


class UploadRequest(msgspec.Struct, frozen=True):
    """POST uploads (msgpack): announce a pending revision. Idempotent by `upload_id`.

    `growth_bytes` is what the quota reserves: the charged size to be, less that of the base. May
    come before or after the blocks, and again with further chunks (the reservation is replaced).

    `new_bytes_max` lets so many bytes of blocks come from now on whose chunks no announcement
    named: a client that cuts while it sends does not know them yet. At most the quota's limit.
    """

    upload_id: bytes
    node_id: int
    base_revision: int
    growth_bytes: int
    chunks: list[ChunkLength]
    new_bytes_max: int = 0


class UploadAnswer(msgspec.Struct, frozen=True):
    """`missing`: indices into the request's chunks. The others are present, and pinned."""

    missing: list[int]
    lease_s: float


class BlockHeader(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Heads one frame of blocks, both ways. `base` names the chunk that a delta was made against.

    In an answer to a fetch, `error` says why the payload is empty.
    """

    chunk_id: bytes
    base: bytes = b""
    error: str = ""


class BlocksAnswer(msgspec.Struct, frozen=True):
    """POST blocks: how many blocks are now durable (those already there count)."""

    stored_count: int
    stored_bytes: int


class WantedChunk(msgspec.Struct, frozen=True, array_like=True):
    """`have`: a chunk that the caller holds and accepts a delta against, or empty."""

    chunk_id: bytes
    have: bytes = b""


class FetchGroup(msgspec.Struct, frozen=True, array_like=True):
    """Chunks of one revision: what the caller's right to them is checked by."""

    node_id: int
    revision: int
    chunks: list[WantedChunk]


class FetchRequest(msgspec.Struct, frozen=True):
    """POST blocks/fetch (msgpack); the answer is frames in the order asked."""

    groups: list[FetchGroup]


class LostBlock(msgspec.Struct, frozen=True, array_like=True):
    """A chunk whose block the server lost, and one revision that names it."""

    node_id: int
    revision: int
    chunk_id: bytes
    length: int


class LostBlocksPage(msgspec.Struct, frozen=True):
    """GET blocks/lost (msgpack): what a device that still has it may send, under any upload.

    `after` continues behind this page; empty: there is no more.
    """

    blocks: list[LostBlock]
    after: str = ""


class ManifestWanted(msgspec.Struct, frozen=True, array_like=True):
    node_id: int
    revision: int
    manifest_id: bytes
    have: bytes = b""


class ManifestsRequest(msgspec.Struct, frozen=True):
    """POST manifests/fetch (msgpack)."""

    wanted: list[ManifestWanted]


class ManifestAnswer(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Either the packed entries, or a splice of the manifest that the caller said it has."""

    manifest_id: bytes
    entries: bytes = b""
    splice: Splice | None = None
    error: str = ""


class ManifestsAnswer(msgspec.Struct, frozen=True):
    manifests: list[ManifestAnswer]
