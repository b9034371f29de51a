"""Content that names what is lost: whether it may be committed."""

import pytest

from backend_server.domain.proposals import NewManifest, Proposal, decide_content
from backend_server.domain.verdicts import Content, Rejection
from backend_server.protocol.commit_messages import Outcome
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import ChunkId, ManifestId
from backend_server.protocol.manifests import Entry

LOST, OTHER = ChunkId(b"l" * 32), ChunkId(b"o" * 32)
KNOWN, NEW = ManifestId(b"k" * 32), ManifestId(b"n" * 32)
OF_KNOWN: dict[bytes, dict[ChunkId, int]] = {KNOWN: {LOST: 100}}
CONTENT = Content(NEW, 200, 200, b"")

BY_ID = Proposal(CONTENT, {}, relies_on=KNOWN)
SPLICED = Proposal(
    CONTENT,
    {OTHER: 100},
    KNOWN,
    NewManifest(NEW, 200, 200, [Entry(LOST, 100), Entry(OTHER, 100)]),
)
OVERWRITTEN = Proposal(
    CONTENT, {OTHER: 100}, KNOWN, NewManifest(NEW, 100, 100, [Entry(OTHER, 100)])
)
TOLD = Proposal(CONTENT, {LOST: 100, OTHER: 100})


@pytest.mark.parametrize("proposal", [BY_ID, SPLICED, TOLD])
def test_what_is_lost_is_missing_unless_the_head_named_it(proposal: Proposal) -> None:
    def decide(available: dict[ChunkId, int], head: bytes = b"") -> Content | Rejection:
        return decide_content(
            proposal, available=available, manifests={KNOWN}, lost=OF_KNOWN, head=head
        )

    missing = Rejection(Outcome.MISSING, missing=(LOST,))
    assert decide({OTHER: 100}) == missing
    assert decide({OTHER: 100}, head=NEW) == missing
    assert decide({OTHER: 100, LOST: 100}) == CONTENT
    assert decide({OTHER: 100}, head=KNOWN) == CONTENT


def test_what_is_overwritten_is_not_missed() -> None:
    decided = decide_content(OVERWRITTEN, available={OTHER: 100}, manifests={KNOWN}, lost=OF_KNOWN)
    assert decided == CONTENT


def test_what_the_head_named_has_its_length() -> None:
    wrong = Proposal(CONTENT, {LOST: 99})
    decided = decide_content(wrong, available={}, manifests=(), lost=OF_KNOWN, head=KNOWN)
    assert decided == Rejection(Outcome.REFUSED, ErrorCode.CHUNK_MISMATCH)
