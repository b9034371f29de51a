"""Pending revisions: what they reserve, pin and may send, and how they end."""

import os

import msgspec
import pytest

from backend_server.domain.caller import Caller
from backend_server.domain.refusals import Refusal
from backend_server.domain.uploads import Sending, decide_allowance
from backend_server.metadata.tables import upload_chunks, uploads
from backend_server.protocol.commit_messages import Outcome
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import chunk_id_of
from backend_server.protocol.limits import FILE_SIZE_BYTES_MAX, UPLOAD_LEASE_S
from backend_server.protocol.transfer_messages import ChunkLength, UploadRequest
from backend_server.protocol.tree_messages import QuotaState
from backend_server.services.reap_uploads import ReapUploads
from drive_kit import (
    CHUNK_KEY,
    DRIVE,
    FIRST_NODE,
    OTHER_DEVICE,
    OWNER,
    STRANGER,
    DriveKit,
    create,
    inline_content,
    open_drive,
)

UPLOAD = b"u" * 16
KNOWN = chunk_id_of(b"known", chunk_key=CHUNK_KEY)
NODE = FIRST_NODE + 9


def announcement(growth_bytes: int, *chunks: tuple[bytes, int]) -> UploadRequest:
    return UploadRequest(UPLOAD, NODE, 0, growth_bytes, [ChunkLength(*each) for each in chunks])


async def drive_with_a_chunk(*, quota_bytes: int = 1000) -> DriveKit:
    kit = await open_drive(quota_bytes=quota_bytes)
    await kit.commit(create(1, b"known", FIRST_NODE, content=inline_content(b"known")))
    return kit


async def quota_of(kit: DriveKit) -> QuotaState:
    return (await kit.snapshot())[-1].quota


async def rows_of(kit: DriveKit) -> tuple[list[tuple[int, int]], int]:
    """Return (reserved, allowed) of the uploads, and how many chunks are pinned."""
    found = await kit.database.read(lambda connection: connection.execute(uploads.select()).all())
    pins = await kit.database.read(
        lambda connection: connection.execute(upload_chunks.select()).all()
    )
    return [(row.reserved_bytes, row.allowed_bytes) for row in found], len(pins)


async def refusal_of(kit: DriveKit, request: UploadRequest, caller: Caller = OWNER) -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        await kit.announce_upload(caller, DRIVE, request)
    return caught.value.code


async def test_announcing_says_what_is_missing_and_pins_everything() -> None:
    kit = await drive_with_a_chunk()
    request = announcement(50, (KNOWN, 5), (b"x" * 32, 30), (b"y" * 32, 20))
    answer = await kit.announce_upload(OWNER, DRIVE, request)
    assert answer.missing == [1, 2]
    assert answer.lease_s == UPLOAD_LEASE_S
    assert await rows_of(kit) == ([(50, 50)], 3)
    assert await quota_of(kit) == QuotaState(1000, 5, 50)


async def test_announcing_again_changes_nothing_and_further_chunks_add_up() -> None:
    kit = await drive_with_a_chunk()
    request = announcement(50, (b"x" * 32, 30))
    first = await kit.announce_upload(OWNER, DRIVE, request)
    assert await kit.announce_upload(OWNER, DRIVE, request) == first
    assert await rows_of(kit) == ([(50, 30)], 1)
    await kit.announce_upload(OWNER, DRIVE, announcement(70, (b"x" * 32, 30), (b"y" * 32, 20)))
    assert await rows_of(kit) == ([(70, 50)], 2)
    assert (await quota_of(kit)).reserved_bytes == 70


async def test_an_upload_may_bring_unnamed_bytes_from_the_announcement_that_says_so() -> None:
    kit = await drive_with_a_chunk()
    request = msgspec.structs.replace(announcement(50, (b"x" * 32, 30)), new_bytes_max=200)
    for _ in range(2):
        await kit.announce_upload(OWNER, DRIVE, request)
        assert await rows_of(kit) == ([(50, 200)], 1)
    await kit.announce_upload(OWNER, DRIVE, announcement(50, (b"y" * 32, 20)))
    assert await rows_of(kit) == ([(50, 220)], 2)


async def test_no_more_unnamed_bytes_than_the_drive_could_hold() -> None:
    kit = await drive_with_a_chunk(quota_bytes=1000)
    request = msgspec.structs.replace(announcement(50), new_bytes_max=10**12)
    await kit.announce_upload(OWNER, DRIVE, request)
    assert await rows_of(kit) == ([(50, 1000)], 0)
    for wrong in (-1, FILE_SIZE_BYTES_MAX + 1):
        request = msgspec.structs.replace(request, new_bytes_max=wrong)
        assert await refusal_of(kit, request) == ErrorCode.MALFORMED


def test_what_was_sent_before_is_not_counted_against_unnamed_bytes() -> None:
    before = Sending(allowed_bytes=100, received_bytes=90)
    allowed = decide_allowance(before, missing_bytes=0, missing_before_bytes=0, unnamed_bytes=500)
    assert allowed == 590


async def test_reservations_count_against_the_quota() -> None:
    kit = await drive_with_a_chunk(quota_bytes=100)
    assert await refusal_of(kit, announcement(96)) == ErrorCode.QUOTA_EXCEEDED
    await kit.announce_upload(OWNER, DRIVE, announcement(94))
    await kit.announce_upload(OWNER, DRIVE, announcement(95))
    answer = await kit.commit(create(1, b"more", NODE + 1, content=inline_content(b"6")))
    assert answer.answers[0].code == ErrorCode.QUOTA_EXCEEDED
    await kit.announce_upload(OWNER, DRIVE, announcement(94))
    answer = await kit.commit(create(1, b"more", NODE + 1, content=inline_content(b"6")))
    assert answer.answers[0].outcome is Outcome.APPLIED
    # What shrinks reserves nothing.
    await kit.announce_upload(OWNER, DRIVE, announcement(-30))
    assert (await quota_of(kit)).reserved_bytes == 0


async def test_the_commit_takes_what_its_upload_reserved() -> None:
    kit = await drive_with_a_chunk(quota_bytes=100)
    await kit.announce_upload(OWNER, DRIVE, announcement(95, (b"x" * 32, 1)))
    content = inline_content(os.urandom(95), upload_id=UPLOAD)
    answer = await kit.commit(create(1, b"big", NODE, content=content))
    assert answer.answers[0].outcome is Outcome.APPLIED
    assert answer.quota == QuotaState(100, 100, 0)
    assert await rows_of(kit) == ([], 0)


async def test_a_commit_that_is_not_made_leaves_its_upload_alone() -> None:
    kit = await drive_with_a_chunk()
    await kit.announce_upload(OWNER, DRIVE, announcement(95))
    content = inline_content(b"x", upload_id=UPLOAD)
    answer = await kit.commit(create(1, b"known", NODE, content=content))
    assert answer.answers[0].outcome is Outcome.STALE
    assert await rows_of(kit) == ([(95, 1)], 0)


async def test_another_device_has_no_say_in_an_upload() -> None:
    kit = await drive_with_a_chunk()
    await kit.announce_upload(OWNER, DRIVE, announcement(95))
    assert await refusal_of(kit, announcement(1), OTHER_DEVICE) == ErrorCode.FORBIDDEN
    assert await refusal_of(kit, announcement(1), STRANGER) == ErrorCode.NOT_FOUND
    content = inline_content(b"x", upload_id=UPLOAD)
    await kit.commit(create(1, b"other", NODE, content=content), caller=OTHER_DEVICE)
    assert (await quota_of(kit)).reserved_bytes == 95


async def test_the_reaper_gives_back_what_expired_and_nothing_else() -> None:
    kit = await drive_with_a_chunk()
    await kit.announce_upload(OWNER, DRIVE, announcement(50, (KNOWN, 5)))
    kit.clock.now_ms += round(UPLOAD_LEASE_S * 1000)
    assert await kit.reap_uploads() == 0
    later = UploadRequest(b"v" * 16, NODE, 0, 20, [ChunkLength(KNOWN, 5)])
    await kit.announce_upload(OWNER, DRIVE, later)
    kit.clock.now_ms += 1
    assert await kit.reap_uploads() == 1
    assert await kit.reap_uploads() == 0
    assert await rows_of(kit) == ([(20, 1)], 1)
    assert (await quota_of(kit)).reserved_bytes == 20


YEARS_MS = 14 * 365 * 24 * 3600 * 1000
LEASE_MS = round(UPLOAD_LEASE_S * 1000)
MINUTE_MS = 60_000


async def test_a_clock_set_ahead_ends_no_lease_and_set_back_prolongs_none() -> None:
    kit = await drive_with_a_chunk()
    await kit.announce_upload(OWNER, DRIVE, announcement(50, (KNOWN, 5)))
    assert await kit.reap_uploads() == 0
    kit.clock.set(YEARS_MS)
    for _ in range(3):
        assert await kit.reap_uploads() == 0
        kit.clock.now_ms += MINUTE_MS
    later = UploadRequest(b"v" * 16, NODE, 0, 20, [ChunkLength(KNOWN, 5)])
    await kit.announce_upload(OWNER, DRIVE, later)
    kit.clock.set(-YEARS_MS)
    assert await kit.reap_uploads() == 0
    kit.clock.now_ms += LEASE_MS + 1
    assert await kit.reap_uploads() == 2
    assert (await quota_of(kit)).reserved_bytes == 0


async def test_a_server_that_starts_years_before_its_leases_ends_them_in_time() -> None:
    kit = await drive_with_a_chunk()
    kit.clock.set(YEARS_MS)
    await kit.announce_upload(OWNER, DRIVE, announcement(50, (KNOWN, 5)))
    kit.clock.set(-YEARS_MS)
    again = ReapUploads(kit.database, clock_ms=kit.clock, clock_s=kit.clock.elapsed_s)
    assert await again() == 0
    kit.clock.now_ms += LEASE_MS + 1
    assert await again() == 1


@pytest.mark.parametrize(
    "request_",
    [
        UploadRequest(b"short", NODE, 0, 0, []),
        UploadRequest(UPLOAD, 0, 0, 0, []),
        UploadRequest(UPLOAD, NODE, -1, 0, []),
        UploadRequest(UPLOAD, NODE, 0, 1 << 62, []),
        announcement(0, (b"short", 5)),
        announcement(0, (KNOWN, 0)),
        announcement(0, (KNOWN, 2 << 20)),
    ],
)
async def test_announcements_that_make_no_sense(request_: UploadRequest) -> None:
    assert await refusal_of(await drive_with_a_chunk(), request_) == ErrorCode.MALFORMED


@pytest.mark.parametrize(
    ("before", "missing", "missing_before", "allowed"),
    [
        (None, 30, 0, 30),
        (None, 0, 0, 1),
        # Blocks came first: 10 bytes are here, 20 more (already pinned) are on their way.
        (Sending(0, 10), 20, 20, 30),
        (Sending(30, 10), 20, 20, 30),
        (Sending(30, 30), 20, 0, 50),
    ],
)
def test_how_much_may_be_sent(
    before: Sending | None, missing: int, missing_before: int, allowed: int
) -> None:
    assert (
        decide_allowance(before, missing_bytes=missing, missing_before_bytes=missing_before)
        == allowed
    )
