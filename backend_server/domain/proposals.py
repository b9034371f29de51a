"""Content that an operation proposes, and whether it may be committed. Pure."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from backend_server.domain.verdicts import (
    CHUNK_MISMATCH,
    MANIFEST_MISSING,
    Content,
    Rejection,
)
from backend_server.protocol.commit_messages import Outcome
from backend_server.protocol.identity import ChunkId, ManifestId
from backend_server.protocol.manifests import EMPTY_MANIFEST, Entry

_NOTHING_LOST: Final[Mapping[bytes, Mapping[ChunkId, int]]] = {}


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
    lost: Mapping[bytes, Mapping[ChunkId, int]] = _NOTHING_LOST,
    head: bytes = EMPTY_MANIFEST,
) -> Content | Rejection:
    """Return the content if everything that it is made of is there, or why not. Pure.

    What the server lost is missing, however well the manifest is known that names it: the device
    may have the last copy. Only an edit may go on naming what the file's head named before: the
    device may never have had it, and its edit must not wait for that.

    Args:
        available: Chunks that are stored or came with the commit, to their lengths.
        manifests: Manifests that the drive has now.
        lost: Chunks that are lost, to their lengths, of each manifest that names some.
        head: The manifest of the file's head, if the content is to follow one.
    """
    if isinstance(proposal, Rejection):
        return proposal
    if proposal.relies_on != EMPTY_MANIFEST and proposal.relies_on not in manifests:
        return MANIFEST_MISSING
    kept = lost.get(head, {})
    missing: list[ChunkId] = []
    wanted = {**_lost_and_named(proposal, lost), **proposal.chunk_lengths}
    for chunk_id, length in wanted.items():
        stored_length = available.get(chunk_id, kept.get(chunk_id))
        if stored_length is None:
            missing.append(chunk_id)
        elif stored_length != length:
            return CHUNK_MISMATCH
    if missing:
        return Rejection(Outcome.MISSING, missing=tuple(missing))
    return proposal.content


def _lost_and_named(
    proposal: Proposal, lost: Mapping[bytes, Mapping[ChunkId, int]]
) -> Mapping[ChunkId, int]:
    """Return what is lost of the manifest that `proposal` relies on, and that it names itself."""
    of_base = lost.get(proposal.relies_on)
    if not of_base or proposal.new_manifest is None:
        return of_base or {}
    named = {entry.chunk_id for entry in proposal.new_manifest.entries}
    return {chunk_id: length for chunk_id, length in of_base.items() if chunk_id in named}
