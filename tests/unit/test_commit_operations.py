"""Commits as a device sees them: answers, idempotency, contents, groups, quota."""

import os
import sqlite3
from itertools import pairwise

import pytest
from sqlalchemy import Connection

from backend_server.domain.refusals import Refusal
from backend_server.metadata.tables import manifests, operation_answers, segments
from backend_server.protocol.blocks import encode_block, encode_delta
from backend_server.protocol.commit_messages import (
    CommitRequest,
    InlineBlock,
    NewContent,
    Operation,
    OperationAnswer,
    Outcome,
)
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import ChunkId, chunk_id_of
from backend_server.protocol.manifests import (
    HOLE,
    Entry,
    Splice,
    manifest_id_of,
    pack_entries,
    plan_splice,
    size_of,
)
from backend_server.protocol.transfer_messages import (
    ManifestsRequest,
    ManifestWanted,
    UploadRequest,
)
from backend_server.protocol.tree_messages import NodeState
from drive_kit import (
    CHUNK_KEY,
    DRIVE,
    FIRST_NODE,
    OTHER_DEVICE,
    OWNER,
    STRANGER,
    DriveKit,
    create,
    folder,
    inline_content,
    listed_content,
    open_drive,
    place,
    renumbered,
    set_attributes,
    set_content,
)

A, B, C, D = range(FIRST_NODE, FIRST_NODE + 4)


async def node_of(kit: DriveKit, node_id: int) -> NodeState:
    (page,) = await kit.snapshot()
    return next(node for node in page.nodes if node.node_id == node_id)


async def refusal_of(kit: DriveKit, request: CommitRequest) -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        await kit.commit_operations(OWNER, DRIVE, request)
    return caught.value.code


def numbered(first: int, *operations: Operation) -> CommitRequest:
    return CommitRequest(0, renumbered(operations, first=first))


async def test_an_edit_on_an_old_base_is_stale_and_the_head_stays() -> None:
    kit = await open_drive()
    first = (await kit.commit(create(1, b"f", A, content=inline_content(b"one")))).answers[0]
    second = (await kit.commit(set_content(A, first.sequence, inline_content(b"two")))).answers[0]
    late = await kit.commit(
        set_content(A, first.sequence, inline_content(b"three")), caller=OTHER_DEVICE
    )
    assert late.answers == [OperationAnswer(1, Outcome.STALE)]
    assert (await node_of(kit, A)).revision == second.sequence


async def test_content_and_attributes_do_not_fight() -> None:
    kit = await open_drive()
    made = (await kit.commit(create(1, b"f", A, content=inline_content(b"one")))).answers[0]
    answer = await kit.commit(
        set_attributes(A, made.sequence), set_content(A, made.sequence, inline_content(b"two"))
    )
    assert [each.outcome for each in answer.answers] == [Outcome.APPLIED] * 2
    await kit.commit(create(A + 9, b"nowhere", B))
    assert (await node_of(kit, A)).mode == 0o600


async def test_a_group_is_made_together_or_not_at_all() -> None:
    kit = await open_drive()
    answer = await kit.commit(
        create(1, b"before", A),
        folder(1, b"in group", B, group=5),
        create(B, b"too", C, group=5),
        place((1, b"before", C, 0), group=5),
        create(1, b"after", D),
    )
    assert answer.answers == [
        OperationAnswer(1, Outcome.APPLIED, 2),
        OperationAnswer(2, Outcome.SKIPPED, because=4),
        OperationAnswer(3, Outcome.SKIPPED, because=4),
        OperationAnswer(4, Outcome.STALE),
        OperationAnswer(5, Outcome.APPLIED, 3),
    ]
    (page,) = await kit.snapshot()
    assert {dentry.name for dentry in page.dentries} == {b"before", b"after"}


async def test_replacing_a_file_keeps_the_node_and_its_history() -> None:
    """What a rename over a file commits as: the source's content under the target's node."""
    kit = await open_drive()
    target, _source = (
        await kit.commit(
            create(1, b"file", A, content=inline_content(b"old")),
            create(1, b"file.tmp", B, content=inline_content(b"new")),
        )
    ).answers
    by_id = NewContent((await node_of(kit, B)).manifest_id, 3)
    answer = await kit.commit(
        set_content(A, target.sequence, by_id, group=1),
        place((1, b"file.tmp", B, 0), group=1),
    )
    assert [each.outcome for each in answer.answers] == [Outcome.APPLIED] * 2
    assert answer.quota.used_bytes == 3
    assert (await node_of(kit, A)).manifest_id == by_id.manifest_id


async def test_the_quota_is_judged_by_the_outcome_of_a_group() -> None:
    kit = await open_drive(quota_bytes=100)
    made = (await kit.commit(create(1, b"f", A, content=inline_content(bytes(90))))).answers[0]
    beyond = await kit.commit(create(1, b"g", B, content=inline_content(bytes(11))))
    assert beyond.answers == [OperationAnswer(2, Outcome.REFUSED, code=ErrorCode.QUOTA_EXCEEDED)]
    exchanged = await kit.commit(
        create(1, b"g", B, group=1, content=inline_content(bytes(80))),
        set_content(A, made.sequence, inline_content(bytes(20)), group=1),
    )
    assert exchanged.quota.used_bytes == 100
    blamed = await kit.commit(
        create(1, b"h", C, group=2), create(1, b"i", D, group=2, content=inline_content(b"x"))
    )
    assert blamed.answers == [
        OperationAnswer(5, Outcome.SKIPPED, because=6),
        OperationAnswer(6, Outcome.REFUSED, code=ErrorCode.QUOTA_EXCEEDED),
    ]


async def test_a_folder_does_not_get_inside_itself_through_what_the_same_commit_makes() -> None:
    kit = await open_drive()
    await kit.commit(folder(1, b"f", A), folder(A, b"g", B))
    answer = await kit.commit(folder(B, b"new", C), place((1, b"f", A, 0), (C, b"f", 0, A)))
    assert answer.answers[1].code == ErrorCode.FOLDER_CYCLE


async def test_a_folder_does_not_get_inside_itself_through_a_folder_that_moves_too() -> None:
    kit = await open_drive()
    await kit.commit(folder(1, b"f", A), folder(A, b"g", B), folder(B, b"h", C))
    answer = await kit.commit(
        place((B, b"h", C, 0), (B, b"renamed", 0, C)), place((1, b"f", A, 0), (C, b"f", 0, A))
    )
    assert answer.answers[0].outcome is Outcome.APPLIED
    assert answer.answers[1].code == ErrorCode.FOLDER_CYCLE


# Numbers ---------------------------------------------------------------------------------------


async def test_repeated_operations_are_answered_and_the_rest_is_made() -> None:
    kit = await open_drive()
    operations = [create(1, b"%d" % n, A + n) for n in range(4)]
    first = await kit.commit_operations(OWNER, DRIVE, numbered(1, *operations[:3]))
    again = await kit.commit_operations(OWNER, DRIVE, numbered(1, *operations))
    assert again.answers[:3] == first.answers
    assert again.answers[3] == OperationAnswer(4, Outcome.APPLIED, 5)


async def test_an_answer_is_kept_whatever_it_was() -> None:
    kit = await open_drive()
    unknown = NewContent(os.urandom(32), 5)
    request = numbered(1, create(1, b"f", A, content=unknown), create(1, b"..", B))
    first = await kit.commit_operations(OWNER, DRIVE, request)
    assert [each.outcome for each in first.answers] == [Outcome.MISSING, Outcome.REFUSED]
    assert await kit.commit_operations(OWNER, DRIVE, request) == first


async def test_numbers_are_per_device() -> None:
    kit = await open_drive()
    await kit.commit(create(1, b"a", A))
    answer = await kit.commit(create(1, b"b", B), caller=OTHER_DEVICE)
    assert answer.answers[0].number == 1
    (page,) = await kit.changes((await kit.snapshot())[-1].cursor)
    assert page.applied_through == 1


async def test_answers_go_when_the_device_has_them() -> None:
    kit = await open_drive()
    await kit.commit(create(1, b"a", A), create(1, b"b", B))
    await kit.commit_operations(OWNER, DRIVE, CommitRequest(1, []))
    kept = await kit.database.read(
        lambda connection: connection.execute(operation_answers.select()).all()
    )
    assert [row.number for row in kept] == [2]
    assert await refusal_of(kit, numbered(1, create(1, b"a", A))) == ErrorCode.MALFORMED
    assert await refusal_of(kit, CommitRequest(3, [])) == ErrorCode.MALFORMED


@pytest.mark.parametrize(
    "numbers_and_groups",
    [
        [(2, 0)],
        [(1, 0), (3, 0)],
        [(1, 0), (1, 0)],
        [(0, 0)],
        [(-1, 0)],
        [(1, 1), (2, 2), (3, 1)],
        [(1, 1), (2, 0), (3, 1)],
    ],
)
async def test_numbers_with_gaps_are_malformed(numbers_and_groups: list[tuple[int, int]]) -> None:
    kit = await open_drive()
    operations: list[Operation] = []
    for at, (number, group) in enumerate(numbers_and_groups):
        operation = create(1, b"%d" % at, A + at, group=group)
        operations.extend(renumbered([operation], first=number))
    assert await refusal_of(kit, CommitRequest(0, operations)) == ErrorCode.MALFORMED


async def test_a_stranger_learns_nothing() -> None:
    kit = await open_drive()
    for drive_id in (DRIVE, "ffffffffffffffff"):
        with pytest.raises(Refusal) as caught:
            await kit.commit_operations(STRANGER, drive_id, numbered(1, create(1, b"a", A)))  # type: ignore[arg-type]
        assert caught.value.code == ErrorCode.NOT_FOUND
    assert len((await kit.snapshot())[0].nodes) == 1


# Contents --------------------------------------------------------------------------------------


async def test_inline_content_comes_back_from_the_vault() -> None:
    kit = await open_drive()
    await kit.commit(create(1, b"f", A, content=inline_content(b"hello")))
    chunk_id = chunk_id_of(b"hello", chunk_key=CHUNK_KEY)
    assert await kit.vault.load_plaintexts(DRIVE, [chunk_id]) == {chunk_id: b"hello"}
    node = await node_of(kit, A)
    assert node.entries == pack_entries([Entry(chunk_id, 5)])
    assert node.size_bytes == 5


async def test_a_delta_is_stored_whole() -> None:
    kit = await open_drive()
    old = os.urandom(20_000)
    new = old[:10_000] + b"edit" + old[10_000:]
    made = (await kit.commit(create(1, b"f", A, content=inline_content(old)))).answers[0]
    old_id = chunk_id_of(old, chunk_key=CHUNK_KEY)
    delta = encode_delta(new, old)
    assert len(delta) < 200
    content = inline_content(new, base=old_id, block=delta)
    answer = await kit.commit(set_content(A, made.sequence, content))
    assert answer.answers[0].outcome is Outcome.APPLIED
    new_id = chunk_id_of(new, chunk_key=CHUNK_KEY)
    assert (await kit.vault.load_plaintexts(DRIVE, [new_id]))[new_id] == new


async def test_a_delta_whose_base_is_unknown_is_a_missing_chunk() -> None:
    kit = await open_drive()
    content = inline_content(b"new", base=os.urandom(32), block=encode_delta(b"new", b"old"))
    answer = await kit.commit(create(1, b"f", A, content=content))
    assert answer.answers[0].outcome is Outcome.MISSING
    assert answer.answers[0].missing == [chunk_id_of(b"new", chunk_key=CHUNK_KEY)]


async def test_a_block_that_is_not_its_chunk_poisons_nothing() -> None:
    kit = await open_drive()
    chunk_id = chunk_id_of(b"real", chunk_key=CHUNK_KEY)
    for block in (encode_block(b"fake"), encode_block(b"real")[:-1], b"", encode_block(b"")):
        content = inline_content(b"real")
        poisoned = NewContent(
            content.manifest_id, 4, entries=content.entries, inline=[InlineBlock(chunk_id, block)]
        )
        answer = await kit.commit(create(1, b"f", A, content=poisoned))
        assert answer.answers[0].code == ErrorCode.CHUNK_MISMATCH
    assert await kit.vault.load_plaintexts(DRIVE, [chunk_id]) == {}
    good = await kit.commit(create(1, b"f", A, content=inline_content(b"real")))
    assert good.answers[0].outcome is Outcome.APPLIED


async def test_a_stored_chunk_has_the_length_that_it_has() -> None:
    """Else a manifest could say that a file is longer than its bytes."""
    kit = await open_drive()
    await kit.commit(create(1, b"f", A, content=inline_content(b"five!")))
    chunk_id = chunk_id_of(b"five!", chunk_key=CHUNK_KEY)
    answer = await kit.commit(create(1, b"g", B, content=listed_content([Entry(chunk_id, 6)])))
    assert answer.answers[0].code == ErrorCode.CHUNK_MISMATCH


@pytest.mark.parametrize(
    "content",
    [
        NewContent(b"m" * 32, 5, entries=pack_entries([Entry(ChunkId(b"c" * 32), 5)])),
        NewContent(manifest_id_of([Entry(HOLE, 5)]), 6, entries=pack_entries([Entry(HOLE, 5)])),
        NewContent(b"m" * 32, 5, entries=b"not packed"),
        NewContent(b"", 5),
        listed_content([Entry(ChunkId(b"c" * 32), 5), Entry(ChunkId(b"c" * 32), 6)]),
    ],
)
async def test_contents_that_contradict_themselves(content: NewContent) -> None:
    kit = await open_drive()
    answer = await kit.commit(create(1, b"f", A, content=content))
    assert answer.answers[0].code == ErrorCode.MALFORMED


async def test_holes_are_free() -> None:
    kit = await open_drive(quota_bytes=10)
    answer = await kit.commit(create(1, b"f", A, content=listed_content([Entry(HOLE, 1 << 40)])))
    assert answer.answers[0].outcome is Outcome.APPLIED
    assert answer.quota.used_bytes == 0
    assert (await node_of(kit, A)).size_bytes == 1 << 40


async def chunks_in(kit: DriveKit, count: int) -> list[Entry]:
    """Put `count` chunks into the drive, by files that stay."""
    datas = [b"chunk %d" % n for n in range(count)]
    parent = 500_000_000
    await kit.commit(folder(1, b"chunks", parent))
    await kit.commit(
        *(
            create(parent, data, parent + 1 + n, content=inline_content(data))
            for n, data in enumerate(datas)
        )
    )
    return [Entry(chunk_id_of(data, chunk_key=CHUNK_KEY), len(data)) for data in datas]


async def test_a_long_manifest_lives_in_segments_that_an_edit_shares() -> None:
    kit = await open_drive()
    entries = await chunks_in(kit, 999)
    answer = await kit.commit(create(1, b"f", A, content=listed_content(entries)))
    made = answer.answers[0]
    assert made.outcome is Outcome.APPLIED
    assert (await node_of(kit, A)).entries == b""

    async def count_segments() -> int:
        return len(
            await kit.database.read(lambda connection: connection.execute(segments.select()).all())
        )

    before = await count_segments()
    assert before > 5
    edited = [*entries[:500], Entry(HOLE, 77), *entries[501:]]
    base_id = manifest_id_of(entries)
    splice = Splice(base_id, plan_splice(entries, edited))
    content = NewContent(manifest_id_of(edited), size_of(edited), splice=splice)
    second = (await kit.commit(set_content(A, made.sequence, content))).answers[0]
    assert second.outcome is Outcome.APPLIED
    assert await count_segments() <= before + 2

    fetched = await kit.fetch_manifests(
        OWNER,
        DRIVE,
        ManifestsRequest(
            [
                ManifestWanted(A, second.sequence, content.manifest_id),
                ManifestWanted(A, second.sequence, content.manifest_id, have=base_id),
                ManifestWanted(A, made.sequence, base_id),
                ManifestWanted(A, made.sequence, content.manifest_id),
                ManifestWanted(B, made.sequence, base_id),
            ]
        ),
    )
    whole, spliced, old, other_revision, other_node = fetched.manifests
    assert whole.entries == pack_entries(edited)
    assert spliced.entries == b""
    assert spliced.splice == splice
    assert old.entries == pack_entries(entries)
    assert other_revision.error == other_node.error == ErrorCode.MANIFEST_UNKNOWN


async def test_a_splice_may_build_on_what_the_same_commit_brings() -> None:
    kit = await open_drive()
    entries = await chunks_in(kit, 20)
    edited = entries[:-1]
    splice = Splice(manifest_id_of(entries), plan_splice(entries, edited))
    answer = await kit.commit(
        create(1, b"f", A, content=listed_content(entries)),
        create(
            1,
            b"g",
            B,
            content=NewContent(manifest_id_of(edited), size_of(edited), splice=splice),
        ),
        create(1, b"h", C, content=NewContent(manifest_id_of(edited), size_of(edited))),
    )
    assert [each.outcome for each in answer.answers] == [Outcome.APPLIED] * 3
    rows = await kit.database.read(lambda connection: connection.execute(manifests.select()).all())
    assert len([row for row in rows if row.entry_count >= 19]) == 2


async def test_missing_chunks_are_named() -> None:
    kit = await open_drive()
    known = (await chunks_in(kit, 1))[0]
    unknown = Entry(ChunkId(os.urandom(32)), 9)
    content = listed_content([known, Entry(HOLE, 3), unknown])
    answer = await kit.commit(create(1, b"f", A, content=content))
    assert answer.answers[0].outcome is Outcome.MISSING
    assert answer.answers[0].missing == [unknown.chunk_id]


async def test_an_announced_chunk_is_still_missing_until_it_came() -> None:
    kit = await open_drive()
    entry = Entry(ChunkId(os.urandom(32)), 9)
    content = listed_content([entry])
    request = UploadRequest(b"u" * 16, A, 0, 9, [])
    await kit.announce_upload(OWNER, DRIVE, request)
    answer = await kit.commit(create(1, b"f", A, content=content))
    assert answer.answers[0].missing == [entry.chunk_id]


async def test_a_thousand_operations_are_one_commit_in_journal_order() -> None:
    kit = await open_drive()
    operations = [
        create(1, b"%d" % n, A + n, content=inline_content(b"%d" % n)) for n in range(1000)
    ]
    answer = await kit.commit(*operations)
    sequences = [each.sequence for each in answer.answers]
    assert all(later == earlier + 1 for earlier, later in pairwise(sequences))
    too_many = [*operations, create(1, b"x", A + 2000)]
    assert await refusal_of(kit, numbered(1001, *too_many)) == ErrorCode.TOO_LARGE


async def test_a_commit_changes_so_many_dentries_at_most() -> None:
    kit = await open_drive()
    await kit.commit(create(1, b"f", A))
    links = [
        place(*((1, b"%d %d" % (n, m), 0, A) for m in range(1000)), ctime_ns=n) for n in range(11)
    ]
    assert await refusal_of(kit, numbered(2, *links)) == ErrorCode.TOO_LARGE
    answer = await kit.commit_operations(OWNER, DRIVE, numbered(2, *links[:10]))
    assert [each.outcome for each in answer.answers] == [Outcome.APPLIED] * 10


async def test_what_is_moved_deep_down_is_looked_at_in_bounded_time() -> None:
    """One query, not one a level; and not again and again without end."""
    kit = await open_drive()
    depth, moves = 2_000, 600
    chain = [folder(FIRST_NODE + n - 1 if n else 1, b"d", FIRST_NODE + n) for n in range(depth)]
    deepest = FIRST_NODE + depth - 1
    for start in range(0, depth, 1000):
        await kit.commit(*chain[start : start + 1000])
    loose = [FIRST_NODE + depth + n for n in range(moves)]
    await kit.commit(*(folder(1, b"%d" % node, node) for node in loose))
    queries: list[str] = []
    await kit.database.write(lambda connection: _watch(connection, queries))
    answer = await kit.commit(
        *(place((1, b"%d" % node, node, 0), (deepest, b"%d" % node, 0, node)) for node in loose)
    )
    assert sum("FROM dentries" in query for query in queries) < 20
    outcomes = [each.outcome for each in answer.answers]
    made = outcomes.count(Outcome.APPLIED)
    assert 400 < made < moves
    assert {each.code for each in answer.answers[made:]} == {ErrorCode.TOO_LARGE}


def _watch(connection: Connection, queries: list[str]) -> None:
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_trace_callback(queries.append)
