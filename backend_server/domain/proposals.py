"""Content that an operation proposes, and whether it may be committed. Pure."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from backend_server.domain.verdicts import (
    CHUNK_MISMATCH,
    MANIFEST_MISSING,
    Content,
    Rejection,
)
from backend_server.protocol.identity import ChunkId, ManifestId
from backend_server.protocol.manifests import EMPTY_MANIFEST, Entry
from backend_server.protocol.messages import Outcome


class NewManifest(NamedTuple):
    """A manifest to be stored once every chunk of it is."""

    manifest_id: ManifestId
    size_bytes: int
    charged_bytes: int
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Content, and what must be so for it to be committed.

    `chunk_lengths`: chunks that must be stored, with these lengths. `relies_on`: a manifest that
    the drive had and must still have, or empty. `new_manifest`: to be stored with the content.
    """

    content: Content
    chunk_lengths: Mapping[ChunkId, int]
    relies_on: ManifestId = EMPTY_MANIFEST
    new_manifest: NewManifest | None = None


def decide_content(
    proposal: Proposal | Rejection,
    *,
    available: Mapping[ChunkId, int],
    manifests: Container[bytes],
) -> Content | Rejection:
    """Return the content if everything that it is made of is there, or why not. Pure.

    Args:
        available: Chunks that are stored or came with the commit, to their lengths.
        manifests: Manifests that the drive has now.
    """
    if isinstance(proposal, Rejection):
        return proposal
    if proposal.relies_on != EMPTY_MANIFEST and proposal.relies_on not in manifests:
        return MANIFEST_MISSING
    missing: list[ChunkId] = []
    for chunk_id, length in proposal.chunk_lengths.items():
        stored_length = available.get(chunk_id)
        if stored_length is None:
            missing.append(chunk_id)
        elif stored_length != length:
            return CHUNK_MISMATCH
    if missing:
        return Rejection(Outcome.MISSING, missing=tuple(missing))
    return proposal.content
