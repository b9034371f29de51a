"""POST manifests/fetch: manifests of revisions, whole or against one that the caller has."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from sqlalchemy import Connection

from backend_server.domain.caller import Caller
from backend_server.domain.refusals import Refusal
from backend_server.metadata.database import Database
from backend_server.metadata.manifest_rows import (
    ManifestRow,
    load_manifests,
    load_packed_entries,
    load_revision_manifests,
)
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DIGEST_BYTES, NODE_ID_MAX, DriveId
from backend_server.protocol.limits import MANIFESTS_PER_FETCH_MAX, MIB
from backend_server.protocol.manifests import (
    EMPTY_MANIFEST,
    ENTRY_BYTES,
    Splice,
    plan_splice,
    unpack_entries,
)
from backend_server.protocol.transfer_messages import (
    ManifestAnswer,
    ManifestsAnswer,
    ManifestsRequest,
    ManifestWanted,
)
from backend_server.services.authorize import authorize_drive

ANSWER_BYTES_MAX: Final = 16 * MIB
"""Packed entries that one answer is made from. Manifests beyond say TOO_LARGE: ask for them in
another call. The first is always answered."""
_REPLACEMENT_OVERHEAD_BYTES: Final = 16


class FetchManifests:
    """Reads manifests, a batch at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(
        self, caller: Caller, drive_id: DriveId, request: ManifestsRequest
    ) -> ManifestsAnswer:
        """Return one answer a manifest wanted, in order.

        An answer's `error` is MANIFEST_UNKNOWN if the node has no such revision or the revision
        another manifest, TOO_LARGE if it did not fit in this answer.

        Raises:
            Refusal: NOT_FOUND, MALFORMED, TOO_LARGE (too many wanted).
        """
        if len(request.wanted) > MANIFESTS_PER_FETCH_MAX:
            raise Refusal(
                ErrorCode.TOO_LARGE, f"Ask for at most {MANIFESTS_PER_FETCH_MAX} manifests."
            )
        if not all(_is_well_formed(wanted) for wanted in request.wanted):
            raise Refusal(ErrorCode.MALFORMED, "Not a manifest of a revision.")
        return await self._database.read(
            partial(_fetch, caller=caller, drive_id=drive_id, request=request)
        )


def _is_well_formed(wanted: ManifestWanted) -> bool:
    return (
        0 < wanted.node_id <= NODE_ID_MAX
        and 0 <= wanted.revision < 1 << 63
        and len(wanted.manifest_id) in (0, DIGEST_BYTES)
        and len(wanted.have) in (0, DIGEST_BYTES)
    )


def _fetch(
    connection: Connection, *, caller: Caller, drive_id: DriveId, request: ManifestsRequest
) -> ManifestsAnswer:
    authorize_drive(connection, caller, drive_id)
    manifest_of = load_revision_manifests(
        connection, drive_id, [(wanted.node_id, wanted.revision) for wanted in request.wanted]
    )
    rows = load_manifests(
        connection,
        drive_id,
        {each for wanted in request.wanted for each in (wanted.manifest_id, wanted.have)},
    )
    total_bytes = 0
    answers: list[ManifestAnswer] = []
    for wanted in request.wanted:
        manifest_id = wanted.manifest_id
        known = manifest_of.get((wanted.node_id, wanted.revision)) == manifest_id
        if not known or (manifest_id != EMPTY_MANIFEST and manifest_id not in rows):
            answers.append(ManifestAnswer(manifest_id, error=ErrorCode.MANIFEST_UNKNOWN.value))
            continue
        used = {each: rows[each] for each in (manifest_id, wanted.have) if each in rows}
        total_bytes += sum(row.entry_count for row in used.values()) * ENTRY_BYTES
        if answers and total_bytes > ANSWER_BYTES_MAX:
            answers.append(ManifestAnswer(manifest_id, error=ErrorCode.TOO_LARGE.value))
            continue
        answers.append(_answer(connection, drive_id, wanted, used))
    return ManifestsAnswer(answers)


def _answer(
    connection: Connection,
    drive_id: DriveId,
    wanted: ManifestWanted,
    rows: Mapping[bytes, ManifestRow],
) -> ManifestAnswer:
    packed = load_packed_entries(connection, drive_id, rows.values())
    if wanted.manifest_id in rows and wanted.manifest_id not in packed:
        return ManifestAnswer(wanted.manifest_id, error=ErrorCode.MANIFEST_UNKNOWN.value)
    entries = packed.get(wanted.manifest_id, b"")
    if wanted.have in packed and wanted.have != wanted.manifest_id:
        replacements = plan_splice(unpack_entries(packed[wanted.have]), unpack_entries(entries))
        splice_bytes = sum(len(each.entries) + _REPLACEMENT_OVERHEAD_BYTES for each in replacements)
        if splice_bytes < len(entries):
            return ManifestAnswer(wanted.manifest_id, splice=Splice(wanted.have, replacements))
    return ManifestAnswer(wanted.manifest_id, entries=entries)
