"""What a check decides of rows and blocks: tables of cases."""

from dataclasses import replace

import pytest

from backend_server.domain.check_blocks import (
    FoundBlock,
    Opening,
    RecordedBlock,
    Treatment,
    find_block_fault,
    looks_right,
    returned_block,
)
from backend_server.domain.check_content import (
    HeadDescription,
    HeadFacts,
    entries_of_embedded,
    entries_of_segment,
    find_head_fault,
    find_segmented_fault,
    gone_manifest,
)
from backend_server.domain.check_counters import (
    DriveCounters,
    find_journal_faults,
    find_quota_faults,
)
from backend_server.domain.check_tree import (
    DentryFacts,
    DentryRepair,
    FolderLink,
    FolderParents,
    NodeFacts,
    cycle_fault,
    find_dentry_faults,
    find_node_faults,
    recovered_name,
)
from backend_server.domain.epochs import EndedEpoch
from backend_server.domain.findings import FindingKind, remedies_of
from backend_server.domain.lost_witnesses import Witness, Witnesses
from backend_server.protocol.identity import ROOT_NODE, ChunkId, is_valid_name
from backend_server.protocol.manifests import (
    Entry,
    cut_segments,
    manifest_id_of,
    pack_entries,
    segment_id_of,
)
from backend_server.protocol.tree_messages import NodeKind

DRIVE = "00000000000000aa"
CHUNK = b"c" * 32
FILE, FOLDER, REMOVED = NodeKind.FILE.value, NodeKind.FOLDER.value, NodeKind.REMOVED.value

# Counters ------------------------------------------------------------------------------------

RIGHT = DriveCounters(
    drive_id=DRIVE,
    head_sequence=5,
    highest_sequence=5,
    journal_count=4,
    journal_first=2,
    journal_last=5,
    compacted_through=0,
    quota_used=100,
    charged_bytes=100,
    quota_reserved=7,
    reserved_bytes=7,
)
NEW = replace(
    RIGHT, head_sequence=1, highest_sequence=1, journal_count=0, journal_first=0, journal_last=0
)

# Restored from a backup when its head was 5; two changes were made since.
AGAIN = replace(
    RIGHT,
    head_sequence=1002,
    highest_sequence=1002,
    journal_count=6,
    journal_last=1002,
    ended_epochs=(EndedEpoch("e1", 5, 1000),),
)


@pytest.mark.parametrize(
    ("counters", "kinds"),
    [
        (RIGHT, []),
        (NEW, []),
        (replace(RIGHT, compacted_through=3, journal_count=2, journal_first=4), []),
        (replace(RIGHT, compacted_through=5, journal_count=0, journal_first=0), []),
        (replace(RIGHT, compacted_through=3), [FindingKind.JOURNAL_GAP]),
        (replace(RIGHT, compacted_through=3, journal_count=1), [FindingKind.JOURNAL_GAP]),
        (replace(AGAIN), []),
        (replace(AGAIN, journal_count=5), [FindingKind.JOURNAL_GAP]),
        (replace(AGAIN, ended_epochs=()), [FindingKind.JOURNAL_GAP]),
        (replace(AGAIN, compacted_through=5, journal_count=2, journal_first=1001), []),
        (replace(AGAIN, compacted_through=1001, journal_count=1, journal_first=1002), []),
        (replace(RIGHT, quota_used=99), [FindingKind.QUOTA_WRONG]),
        (replace(RIGHT, reserved_bytes=0), [FindingKind.RESERVATION_WRONG]),
        (replace(RIGHT, journal_count=3), [FindingKind.JOURNAL_GAP]),
        (replace(RIGHT, head_sequence=6, highest_sequence=5), [FindingKind.JOURNAL_GAP]),
        (replace(RIGHT, head_sequence=4), [FindingKind.HEAD_BEHIND]),
        (
            replace(RIGHT, head_sequence=4, highest_sequence=6),
            [FindingKind.HEAD_BEHIND, FindingKind.JOURNAL_GAP],
        ),
    ],
)
def test_counters(counters: DriveCounters, kinds: list[FindingKind]) -> None:
    findings = [*find_journal_faults(counters), *find_quota_faults(counters)]
    assert [finding.kind for finding in findings] == kinds
    for finding in findings:
        assert finding.is_repairable == (finding.kind is not FindingKind.JOURNAL_GAP)


# The tree ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "kind", "is_repairable"),
    [
        (DentryFacts(1, b"a", 9, 2, FOLDER, FILE, True), None, True),
        (DentryFacts(1, b"a", 9, 2, FOLDER, FOLDER, False), None, True),
        (DentryFacts(1, b"a", 9, 2, FOLDER, None, False), FindingKind.DENTRY_DANGLING, True),
        (DentryFacts(1, b"a", 9, 2, FOLDER, None, True), FindingKind.DENTRY_DANGLING, False),
        (DentryFacts(1, b"a", 9, 2, FOLDER, REMOVED, True), FindingKind.DENTRY_DANGLING, True),
        (DentryFacts(8, b"a", 9, 2, None, FILE, True), FindingKind.PARENT_GONE, True),
        (DentryFacts(8, b"a", 9, 2, REMOVED, FILE, True), FindingKind.PARENT_GONE, True),
        (DentryFacts(8, b"a", 9, 2, FILE, FOLDER, False), FindingKind.PARENT_GONE, True),
        (DentryFacts(8, b"a", 9, 2, None, None, False), FindingKind.DENTRY_DANGLING, True),
        (
            DentryFacts(8, b"a", ROOT_NODE, 2, FOLDER, FOLDER, False),
            FindingKind.FOLDER_LINKED_TWICE,
            True,
        ),
    ],
)
def test_names(row: DentryFacts, kind: FindingKind | None, is_repairable: bool) -> None:
    faults = find_dentry_faults(DRIVE, [row])
    assert [fault.finding.kind for fault in faults] == ([] if kind is None else [kind])
    for fault in faults:
        assert fault.finding.is_repairable == is_repairable
        removed = (DentryRepair(row.parent, row.name, 0),) if is_repairable else ()
        assert fault.removed == removed


def test_a_name_of_any_bytes_is_shown_in_one_line() -> None:
    row = DentryFacts(1, b"\xff\n\x1b[31m", 9, 2, FOLDER, None, False)
    [fault] = find_dentry_faults(DRIVE, [row])
    assert fault.finding.sentence.isascii()
    assert fault.finding.sentence.isprintable()


def test_nodes() -> None:
    links = {7: [FolderLink(1, b"new", 9), FolderLink(5, b"old", 3)]}
    rows = [
        NodeFacts(ROOT_NODE, FOLDER, 0),
        NodeFacts(3, FILE, 2),
        NodeFacts(4, FILE, 0),
        NodeFacts(5, FOLDER, 1),
        NodeFacts(6, 99, 0),
        NodeFacts(7, FOLDER, 2),
    ]
    nameless, strange, twice = find_node_faults(DRIVE, rows, links)
    assert (nameless.finding.kind, nameless.nameless) == (FindingKind.NODE_WITHOUT_NAME, 4)
    assert "of unknown kind 99" in strange.finding.sentence
    assert twice.finding.kind is FindingKind.FOLDER_LINKED_TWICE
    assert twice.removed == (DentryRepair(5, b"old", 0),)
    assert twice.nameless == 0


@pytest.mark.parametrize(
    ("parents", "cycles"),
    [
        ({}, []),
        ({2: 1, 3: 2, 4: 2, 5: 4}, []),
        ({2: 2}, [[2]]),
        ({2: 3, 3: 2}, [[2, 3]]),
        ({2: 3, 3: 4, 4: 3, 9: 2}, [[3, 4]]),
        ({5: 7, 6: 5, 7: 6, 8: 1, 10: 11, 11: 10}, [[5, 7, 6], [10, 11]]),
        ({3: 99, 4: 3}, []),
    ],
)
def test_cycles(parents: dict[int, int], cycles: list[list[int]]) -> None:
    folders = FolderParents()
    for folder, parent in sorted(parents.items()):
        folders.add(folder, parent)
    assert folders.cycles() == cycles


def test_a_deep_tree_is_no_deep_recursion() -> None:
    folders = FolderParents()
    for folder in range(2, 100_000):
        folders.add(folder, folder + 1)
    folders.add(100_000, 1)
    assert folders.cycles() == []


def test_a_cycle_is_cut_where_it_begins() -> None:
    fault = cycle_fault(DRIVE, [3, 4], FolderLink(4, b"three", 8))
    assert fault.removed == (DentryRepair(4, b"three", 0),)
    assert fault.nameless == 3


def test_recovered_names_are_names_and_differ() -> None:
    names = [recovered_name(node, attempt) for node in (2, (1 << 63) - 1) for attempt in range(3)]
    assert len(set(names)) == len(names)
    assert all(is_valid_name(name) for name in names)


# Blocks --------------------------------------------------------------------------------------

DIGEST, OTHER = b"d" * 32, b"o" * 32
RECORDED = RecordedBlock(1000, DIGEST, 5000)
GOOD = FoundBlock(1000, DIGEST, Opening.GOOD, 5000)


@pytest.mark.parametrize(
    ("found", "kind", "treatment"),
    [
        (GOOD, None, None),
        (None, FindingKind.BLOCK_MISSING, Treatment.FORGET),
        # not read, or read without a key
        (FoundBlock(1000), None, None),
        (FoundBlock(1000, DIGEST), None, None),
        (FoundBlock(1000, OTHER), FindingKind.BLOCK_DAMAGED, Treatment.QUARANTINE),
        (FoundBlock(999, OTHER), FindingKind.BLOCK_TRUNCATED, Treatment.QUARANTINE),
        (FoundBlock(0, OTHER), FindingKind.BLOCK_TRUNCATED, Treatment.QUARANTINE),
        # read with a key
        (
            FoundBlock(1000, OTHER, Opening.BROKEN),
            FindingKind.BLOCK_DAMAGED,
            Treatment.QUARANTINE,
        ),
        (
            FoundBlock(1000, OTHER, Opening.KEY_GONE),
            FindingKind.BLOCK_DAMAGED,
            Treatment.QUARANTINE,
        ),
        (
            FoundBlock(1000, DIGEST, Opening.BROKEN),
            FindingKind.BLOCK_UNREADABLE,
            Treatment.QUARANTINE,
        ),
        (FoundBlock(1000, DIGEST, Opening.KEY_GONE), FindingKind.DRIVE_KEYS_UNUSABLE, None),
        # what opens to its chunk is good, whatever the row says
        (replace(GOOD, size_bytes=999), FindingKind.BLOCK_RECORD_WRONG, Treatment.RECORD),
        (replace(GOOD, digest=OTHER), FindingKind.BLOCK_RECORD_WRONG, Treatment.RECORD),
        (replace(GOOD, length=4999), FindingKind.BLOCK_RECORD_WRONG, Treatment.RECORD),
    ],
)
def test_blocks(
    found: FoundBlock | None, kind: FindingKind | None, treatment: Treatment | None
) -> None:
    fault = find_block_fault(DRIVE, CHUNK, RECORDED, found)
    assert (None if fault is None else fault.finding.kind) == kind
    if fault is not None:
        assert fault.treatment == treatment
        assert fault.finding.is_repairable == (treatment is not None)
        assert fault.finding.subject == CHUNK.hex()


def test_what_looks_right_is_there_and_has_its_size() -> None:
    assert looks_right(RECORDED, FoundBlock(1000))
    assert not looks_right(RECORDED, FoundBlock(999))
    assert not looks_right(RECORDED, None)


@pytest.mark.parametrize(
    ("found", "is_returned"),
    [(GOOD, True), (None, False), (FoundBlock(1000, DIGEST), False),
     (FoundBlock(1000, DIGEST, Opening.BROKEN), False)],
)  # fmt: skip
def test_a_lost_block_returned_only_if_it_opens(
    found: FoundBlock | None, is_returned: bool
) -> None:
    fault = returned_block(DRIVE, CHUNK, found)
    assert (fault is not None) == is_returned


# Content -------------------------------------------------------------------------------------

ENTRIES = [Entry(ChunkId(bytes([nth]) * 32), 100 + nth) for nth in range(1, 4)]
LONG = [Entry(ChunkId(nth.to_bytes(32, "big")), 100) for nth in range(1, 600)]
SEGMENTS = [pack_entries(run) for run in cut_segments(LONG)]
SEGMENT_IDS = [segment_id_of(packed) for packed in SEGMENTS]


@pytest.mark.parametrize(
    ("packed", "size", "charged", "count", "is_right"),
    [
        (pack_entries(ENTRIES), 306, 306, 3, True),
        (pack_entries(ENTRIES[:2]), 306, 306, 3, False),
        (pack_entries(ENTRIES)[:-1], 306, 306, 3, False),
        (pack_entries(ENTRIES), 307, 306, 3, False),
        (pack_entries(ENTRIES), 306, 0, 3, False),
        (pack_entries(ENTRIES), 306, 306, 2, False),
        (b"", 306, 306, 3, False),
    ],
)
def test_embedded_manifests(
    packed: bytes, size: int, charged: int, count: int, is_right: bool
) -> None:
    found = entries_of_embedded(
        manifest_id_of(ENTRIES), packed, size_bytes=size, charged_bytes=charged, entry_count=count
    )
    assert found == (ENTRIES if is_right else None)


@pytest.mark.parametrize(
    ("segment_ids", "present", "kind"),
    [
        (SEGMENT_IDS, SEGMENT_IDS, None),
        (SEGMENT_IDS, SEGMENT_IDS[1:], FindingKind.SEGMENT_GONE),
        (SEGMENT_IDS[:-1], SEGMENT_IDS, FindingKind.MANIFEST_DAMAGED),
        ([*SEGMENT_IDS, b"cut"], SEGMENT_IDS, FindingKind.MANIFEST_DAMAGED),
        ([], [], FindingKind.MANIFEST_DAMAGED),
    ],
)
def test_segmented_manifests(
    segment_ids: list[bytes], present: list[bytes], kind: FindingKind | None
) -> None:
    assert len(SEGMENT_IDS) > 2
    finding = find_segmented_fault(DRIVE, manifest_id_of(LONG), b"".join(segment_ids), set(present))
    assert (None if finding is None else finding.kind) == kind


EMBEDDED = HeadDescription(306, 306, pack_entries(ENTRIES))
IN_SEGMENTS = HeadDescription(59_900, 59_900, b"")
EMPTY = HeadDescription(0, 0, b"")
HEAD = HeadFacts(
    5, 6, manifest_id_of(ENTRIES), EMBEDDED, manifest_id_of(ENTRIES), (306, 306), EMBEDDED
)
LONG_HEAD = HeadFacts(
    5, 6, manifest_id_of(LONG), IN_SEGMENTS, manifest_id_of(LONG), (59_900, 59_900), IN_SEGMENTS
)
EMPTY_HEAD = HeadFacts(5, 6, b"", EMPTY, b"", (0, 0), None)
ODD = replace(EMBEDDED, entries=pack_entries(ENTRIES[:2]))
LARGER = replace(EMBEDDED, size_bytes=307)
LONGER = replace(IN_SEGMENTS, charged_bytes=1)


@pytest.mark.parametrize(
    ("head", "kind", "right"),
    [
        (HEAD, None, None),
        (LONG_HEAD, None, None),
        (EMPTY_HEAD, None, None),
        (replace(HEAD, manifest=None), None, None),
        (replace(LONG_HEAD, manifest=None), None, None),
        (replace(HEAD, revision_manifest=None), FindingKind.REVISION_GONE, None),
        (replace(HEAD, revision_manifest=b"o" * 32), FindingKind.REVISION_GONE, None),
        # the node's row is wrong
        (replace(HEAD, described=ODD), FindingKind.HEAD_WRONG, EMBEDDED),
        (replace(HEAD, described=EMPTY), FindingKind.HEAD_WRONG, EMBEDDED),
        (replace(HEAD, described=LARGER), FindingKind.HEAD_WRONG, EMBEDDED),
        (replace(LONG_HEAD, described=EMBEDDED), FindingKind.HEAD_WRONG, IN_SEGMENTS),
        (replace(LONG_HEAD, described=LONGER), FindingKind.HEAD_WRONG, IN_SEGMENTS),
        (replace(EMPTY_HEAD, described=EMBEDDED), FindingKind.HEAD_WRONG, EMPTY),
        # the manifest's row is wrong, and must not spread
        (replace(HEAD, manifest=ODD), None, None),
        (replace(HEAD, manifest=LARGER), None, None),
        (replace(LONG_HEAD, manifest=LONGER), None, None),
        # the revision's row is wrong
        (replace(HEAD, revision_bytes=(1, 1)), None, None),
        (replace(LONG_HEAD, revision_bytes=(1, 1)), None, None),
        # nobody knows
        (replace(HEAD, manifest=ODD, described=ODD), FindingKind.HEAD_WRONG, None),
        (
            replace(LONG_HEAD, described=LONGER, revision_bytes=(1, 1)),
            FindingKind.HEAD_WRONG,
            None,
        ),
    ],
)
def test_heads(head: HeadFacts, kind: FindingKind | None, right: HeadDescription | None) -> None:
    fault = find_head_fault(DRIVE, head)
    assert (None if fault is None else fault.finding.kind) == kind
    if fault is not None:
        assert fault.right == right
        assert fault.finding.is_repairable == (right is not None)


def test_segments() -> None:
    assert entries_of_segment(SEGMENT_IDS[0], SEGMENTS[0])
    assert entries_of_segment(SEGMENT_IDS[0], SEGMENTS[1]) is None
    assert entries_of_segment(segment_id_of(b"odd"), b"odd") is None


@pytest.mark.parametrize(
    ("embedded", "is_repairable"),
    [
        (pack_entries(ENTRIES), True),
        (pack_entries(ENTRIES[:2]), False),
        (b"", False),
        (b"odd", False),
    ],
)
def test_a_manifest_is_made_again_only_from_what_it_was(
    embedded: bytes, is_repairable: bool
) -> None:
    finding = gone_manifest(DRIVE, 5, 6, manifest_id_of(ENTRIES), embedded)
    assert finding.is_repairable == is_repairable


def test_witnesses() -> None:
    first, second, third = (entry.chunk_id for entry in ENTRIES)
    nobodys = ChunkId(b"n" * 32)
    witnesses = Witnesses({first, second, third, nobodys})
    witnesses.see_segment(b"segment", [ENTRIES[0], LONG[0]])
    witnesses.see_segment(b"other", [LONG[1]])
    witnesses.see_manifest(b"long", [], [b"segment", b"other", b"segment"])
    witnesses.see_manifest(b"short", ENTRIES[1:], [])
    witnesses.see_manifest(b"unconcerned", LONG[2:3], [b"other"])
    witnesses.see_revision(7, 1, b"long", is_head=False)
    witnesses.see_revision(7, 2, b"unconcerned", is_head=True)
    witnesses.see_revision(8, 3, b"long", is_head=True)
    witnesses.see_revision(9, 4, b"long", is_head=True)
    witnesses.see_revision(9, 5, b"short", is_head=False)
    assert witnesses.found == {
        first: Witness(8, 3, 101, True),
        second: Witness(9, 5, 102, False),
        third: Witness(9, 5, 103, False),
    }


def test_each_remedy_is_told_once() -> None:
    remedies = remedies_of(FindingKind)
    assert len(set(remedies)) == len(remedies) < len(FindingKind)
