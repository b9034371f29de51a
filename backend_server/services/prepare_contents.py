"""Makes ready, before any transaction, the contents that a commit proposes.

Inline blocks are decoded, held against their ids and sealed; manifests are put together and held
against theirs. Nothing here looks at what is stored: a proposal says what must be, and the
transaction checks it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from backend_server.domain.proposals import NewManifest, Proposal
from backend_server.domain.vault import SealedBlock
from backend_server.domain.verdicts import (
    CHUNK_MISMATCH,
    MALFORMED,
    MANIFEST_MISSING,
    Content,
    Rejection,
)
from backend_server.metadata.chunk_rows import InlineChunk
from backend_server.metadata.manifest_rows import ManifestRow
from backend_server.protocol.blocks import BlockMalformed, decode_block, encode_block
from backend_server.protocol.commit_messages import CreateNode, InlineBlock, NewContent, SetContent
from backend_server.protocol.identity import ChunkId, ManifestId, chunk_id_of
from backend_server.protocol.limits import EMBEDDED_ENTRIES_MAX, FILE_SIZE_BYTES_MAX, MIB
from backend_server.protocol.manifests import (
    EMPTY_MANIFEST,
    ENTRY_BYTES,
    Entry,
    ManifestMalformed,
    apply_splice,
    charged_size_of,
    manifest_id_of,
    pack_entries,
    size_of,
    unpack_entries,
)

WithContent = CreateNode | SetContent

SPLICED_BYTES_MAX: Final = 64 * MIB
"""Packed entries that the splices of one commit may be made on, counted each time. A splice costs
little to send and as much to make as its base is long; beyond this (files of 400 GB in all) an
operation is told that the manifest is missing, and sends its entries."""


@dataclass(frozen=True, slots=True)
class KnownManifests:
    """Manifests that the drive had when it was asked. `packed`: entries of the splices' bases."""

    rows: Mapping[bytes, ManifestRow]
    packed: Mapping[bytes, bytes]


class ContentPreparation:
    """Collects what the operations of one commit propose: by number, and the chunks they bring.

    For one thread at a time.
    """

    def __init__(
        self,
        known: KnownManifests,
        *,
        chunk_key: bytes,
        seal: Callable[[ChunkId, bytes], SealedBlock],
    ) -> None:
        self.proposals: dict[int, Proposal | Rejection] = {}
        self.chunks: dict[ChunkId, InlineChunk] = {}
        self._known = known
        self._chunk_key = chunk_key
        self._seal = seal
        self._brought: dict[bytes, Proposal] = {}
        self._spliced_bytes = 0

    def take(self, operations: Iterable[WithContent], bases: Mapping[ChunkId, bytes]) -> None:
        """Prepare what well-formed `operations` propose; call in the order of the request.

        An operation may build on a manifest that an earlier one brings. A delta whose base is not
        in `bases` counts as a chunk that did not come: its operation will say that it is missing.
        """
        for operation in operations:
            assert operation.content is not None
            proposal = self._take_inline(operation.content.inline, bases) or self._propose(
                operation.content
            )
            self.proposals[operation.number] = proposal
            if isinstance(proposal, Proposal):
                self._brought.setdefault(proposal.content.manifest_id, proposal)

    def _propose(self, content: NewContent) -> Proposal | Rejection:
        if content.splice is not None:
            if self._spliced_bytes > SPLICED_BYTES_MAX:
                return MANIFEST_MISSING
            base_id = content.splice.base_manifest
            earlier = self._brought.get(base_id)
            if earlier is not None and earlier.new_manifest is not None:
                self._spliced_bytes += len(earlier.new_manifest.entries) * ENTRY_BYTES
            else:
                self._spliced_bytes += len(self._known.packed.get(base_id, b""))
        return _propose(content, self._known, self._brought)

    def _take_inline(
        self, inline: Iterable[InlineBlock], bases: Mapping[ChunkId, bytes]
    ) -> Rejection | None:
        for item in inline:
            chunk_id = ChunkId(item.chunk_id)
            if chunk_id in self.chunks:
                continue
            base = bases.get(ChunkId(item.base)) if item.base else None
            if item.base and base is None:
                continue
            try:
                plaintext = decode_block(item.block, base=base)
            except BlockMalformed:
                return CHUNK_MISMATCH
            if not plaintext or chunk_id_of(plaintext, chunk_key=self._chunk_key) != chunk_id:
                return CHUNK_MISMATCH
            # Deltas live on the wire only: what is stored depends on no other block.
            block = encode_block(plaintext) if item.base else item.block
            sealed = self._seal(chunk_id, block)
            self.chunks[chunk_id] = InlineChunk(chunk_id, len(plaintext), sealed)
        return None


def _propose(
    content: NewContent, known: KnownManifests, brought: Mapping[bytes, Proposal]
) -> Proposal | Rejection:
    if not content.entries and content.splice is None:
        return _propose_by_id(content, known, brought)
    stored_entries: Iterable[Entry] = ()
    relies_on = EMPTY_MANIFEST
    try:
        if content.splice is not None:
            base_id = content.splice.base_manifest
            base = _entries_of(base_id, known, brought)
            if base is None:
                return MANIFEST_MISSING
            entries = apply_splice(base, content.splice.replacements)
            if base_id not in brought:
                stored_entries, relies_on = base, ManifestId(base_id)
        else:
            entries = unpack_entries(content.entries)
    except ManifestMalformed:
        return MALFORMED
    size_bytes = size_of(entries)
    if size_bytes != content.size_bytes or size_bytes > FILE_SIZE_BYTES_MAX:
        return MALFORMED
    if manifest_id_of(entries) != content.manifest_id:
        return MALFORMED
    row = known.rows.get(content.manifest_id)
    if row is not None:
        return _proposal_of_known(row, content)
    # What a known manifest has is stored; only the rest must be looked for.
    wanted = set(entries).difference(stored_entries)
    chunk_lengths = {entry.chunk_id: entry.length for entry in wanted if not entry.is_hole}
    if len(chunk_lengths) != sum(not entry.is_hole for entry in wanted):
        return MALFORMED  # one chunk with two lengths
    charged_bytes = charged_size_of(entries)
    is_short = len(entries) <= EMBEDDED_ENTRIES_MAX
    manifest_id = ManifestId(content.manifest_id)
    return Proposal(
        Content(
            manifest_id,
            size_bytes,
            charged_bytes,
            pack_entries(entries) if is_short else b"",
            content.upload_id,
        ),
        chunk_lengths,
        relies_on,
        NewManifest(manifest_id, size_bytes, charged_bytes, entries) if entries else None,
    )


def _propose_by_id(
    content: NewContent, known: KnownManifests, brought: Mapping[bytes, Proposal]
) -> Proposal | Rejection:
    manifest_id = ManifestId(content.manifest_id)
    if manifest_id == EMPTY_MANIFEST:
        if content.size_bytes:
            return MALFORMED
        return Proposal(Content(EMPTY_MANIFEST, 0, 0, b"", content.upload_id), {})
    row = known.rows.get(manifest_id)
    if row is not None:
        if row.size_bytes != content.size_bytes:
            return MALFORMED
        return _proposal_of_known(row, content)
    earlier = brought.get(manifest_id)
    if earlier is None:
        return MANIFEST_MISSING
    if earlier.content.size_bytes != content.size_bytes:
        return MALFORMED
    return Proposal(
        Content(
            manifest_id,
            earlier.content.size_bytes,
            earlier.content.charged_bytes,
            earlier.content.embedded,
            content.upload_id,
        ),
        earlier.chunk_lengths,
        earlier.relies_on,
        earlier.new_manifest,
    )


def _proposal_of_known(row: ManifestRow, content: NewContent) -> Proposal:
    return Proposal(
        Content(row.manifest_id, row.size_bytes, row.charged_bytes, row.entries, content.upload_id),
        {},
        relies_on=row.manifest_id,
    )


def _entries_of(
    manifest_id: bytes, known: KnownManifests, brought: Mapping[bytes, Proposal]
) -> list[Entry] | None:
    if manifest_id == EMPTY_MANIFEST:
        return []
    earlier = brought.get(manifest_id)
    if earlier is not None and earlier.new_manifest is not None:
        return list(earlier.new_manifest.entries)
    packed = known.packed.get(manifest_id)
    return None if packed is None else unpack_entries(packed)
