"""How a new manifest is told in the fewest bytes, and what its bytes cost. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from backend_server.protocol.commit_messages import NewContent
from backend_server.protocol.manifests import (
    ENTRY_BYTES,
    Entry,
    Splice,
    pack_entries,
    plan_splice,
)
from mountfs.core.content import Manifest
from mountfs.core.delta import Keep, Step, Stretch

_REPLACEMENT_BYTES: Final = 8


def tell_entries(
    new_content: NewContent, entries: Sequence[Entry], known: Sequence[Manifest]
) -> NewContent:
    """Return `new_content` with `entries`, or as a splice of one of `known` if shorter. Pure."""
    best = Splice(b"", ())
    best_bytes = ENTRY_BYTES * len(entries)
    for old in known:
        if not old.entries:
            continue
        replacements = plan_splice(old.entries, entries)
        splice_bytes = len(old.manifest_id) + sum(
            len(replacement.entries) + _REPLACEMENT_BYTES for replacement in replacements
        )
        if splice_bytes < best_bytes:
            best, best_bytes = Splice(old.manifest_id, replacements), splice_bytes
    if best.base_manifest:
        return msgspec.structs.replace(new_content, splice=best)
    return msgspec.structs.replace(new_content, entries=pack_entries(entries))


def stretched_bytes(steps: Sequence[Step]) -> int:
    """Return how many bytes are built anew. Pure."""
    return sum(step.end - step.start for step in steps if isinstance(step, Stretch))


def growth_bytes(base: Manifest | None, steps: Sequence[Step]) -> int:
    """Return by how much the charged size grows: holes are free, kept entries cancel out. Pure."""
    growth = stretched_bytes(steps)
    if base is None:
        return growth
    at = 0
    for keep in (*(step for step in steps if isinstance(step, Keep)), Keep(len(base.entries), 0)):
        growth -= sum(entry.length for entry in base.entries[at : keep.first] if not entry.is_hole)
        at = keep.first + keep.entry_count
    return growth
