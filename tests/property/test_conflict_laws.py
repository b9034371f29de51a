"""Laws of who is right: nothing is dropped that the other side does not have or has not seen."""

from hypothesis import given
from hypothesis import strategies as st

from backend_server.protocol.extended_attributes import pack_xattrs, unpack_xattrs
from mountfs.core.attribute_merge import SetAttributes, merge_attributes, merge_xattrs
from mountfs.core.conflict import (
    ContentVerdict,
    DentryVerdict,
    DisputeVerdict,
    decide_content,
    decide_dentry,
    decide_dispute,
    may_merge,
)
from mountfs.core.conflict_mark import NO_CONFLICT
from mountfs.core.conflict_names import conflict_name
from mountfs.core.text_merge import TEXT_BYTES_MAX

NODES = st.integers(0, 3)


@given(expected=NODES, local=NODES, remote=NODES)
def test_a_dentry_loses_no_node(expected: int, local: int, remote: int) -> None:
    verdict = decide_dentry(expected=expected, local=local, remote=remote)
    match verdict:
        case DentryVerdict.DONE:
            assert local == remote
        case DentryVerdict.YIELD:
            assert local == 0, "only a removal gives way"
        case DentryVerdict.KEEP:
            assert remote == expected, "only what did not change may be replaced"
        case DentryVerdict.KEEP_ON_NEW:
            assert remote == 0
        case DentryVerdict.COLLIDE:
            assert local
            assert remote
            assert local != remote


@given(
    expected=st.integers(0, 3),
    remote=st.none() | st.integers(0, 3),
    local_manifest=st.none() | st.sampled_from([b"a", b"b"]),
    remote_manifest=st.sampled_from([b"a", b"b"]),
)
def test_our_bytes_are_dropped_only_when_the_head_has_them(
    expected: int, remote: int | None, local_manifest: bytes | None, remote_manifest: bytes
) -> None:
    verdict = decide_content(
        expected_revision=expected,
        remote_revision=remote,
        local_manifest=local_manifest,
        remote_manifest=remote_manifest,
    )
    if verdict is ContentVerdict.DONE:
        assert local_manifest == remote_manifest
    if verdict is ContentVerdict.KEEP:
        assert remote == expected
    assert (verdict is ContentVerdict.REVIVE) == (remote is None)


@given(merged=st.none() | st.sampled_from([b"a", b"b"]), theirs=st.sampled_from([b"a", b"b"]))
def test_a_merge_is_committed_only_where_it_is_more_than_the_head(
    merged: bytes | None, theirs: bytes
) -> None:
    verdict = decide_dispute(merged=merged, theirs=theirs)
    assert (verdict is DisputeVerdict.KEEP_BOTH) == (merged is None)
    assert (verdict is DisputeVerdict.TAKE_THEIRS) == (merged == theirs)


@given(
    sizes=st.tuples(*[st.sampled_from([0, TEXT_BYTES_MAX, TEXT_BYTES_MAX + 1])] * 3),
    is_open=st.booleans(),
    is_wanted=st.booleans(),
)
def test_only_small_closed_files_are_merged(
    sizes: tuple[int, int, int], is_open: bool, is_wanted: bool
) -> None:
    base, ours, theirs = sizes
    assert may_merge(
        base_bytes=base, our_bytes=ours, their_bytes=theirs, is_open_for_writing=is_open,
        is_wanted=is_wanted,
    ) == (max(sizes) <= TEXT_BYTES_MAX and is_wanted and not is_open)  # fmt: skip


VALUES = st.integers(0, 2)
XATTR_NAMES = st.sampled_from((b"user.a", b"user.b", b"user.c"))
XATTRS = st.dictionaries(XATTR_NAMES, st.sampled_from((b"", b"1", b"2"))).map(pack_xattrs)
ATTRIBUTES = st.builds(
    SetAttributes, VALUES, VALUES, VALUES, VALUES, VALUES, st.just(NO_CONFLICT), XATTRS
)


@given(base=ATTRIBUTES, local=ATTRIBUTES, remote=ATTRIBUTES)
def test_attributes_are_as_whoever_changed_them_wants(
    base: SetAttributes, local: SetAttributes, remote: SetAttributes
) -> None:
    merged = merge_attributes(base=base, local=local, remote=remote)
    for before, ours, theirs, now in zip(base[:4], local[:4], remote[:4], merged[:4], strict=True):
        if ours != before:
            assert now == ours, "what was set here stands"
        elif theirs != before:
            assert now == theirs, "what was set there, and not here, arrives"
        else:
            assert now == before
    assert merged.ctime_ns >= max(local.ctime_ns, remote.ctime_ns)


@given(
    name=st.binary(min_size=1, max_size=255).filter(lambda n: b"/" not in n and b"\0" not in n),
    device=st.text(max_size=80),
    taken=st.integers(0, 3),
)
def test_conflict_names_are_names(name: bytes, device: str, taken: int) -> None:
    seen: set[bytes] = set()

    def is_taken(candidate: bytes) -> bool:
        if len(seen) < taken:
            seen.add(candidate)
        return candidate in seen

    device = device.encode("utf-8", "ignore").decode()
    made = conflict_name(name, device=device, date="2026-11-20", is_taken=is_taken)
    assert 0 < len(made) <= 255
    assert b"/" not in made
    assert b"\0" not in made
    assert made not in seen


def test_the_extension_is_kept() -> None:
    made = conflict_name(b"a.b.txt", device="LAPTOP", date="2026-11-20", is_taken=lambda n: False)
    assert made == b"a.b (conflict of LAPTOP, 2026-11-20).txt"


def test_a_name_is_not_cut_inside_a_character() -> None:
    name = "ä".encode() * 127
    made = conflict_name(name, device="x", date="2026-11-20", is_taken=lambda n: False)
    assert len(made) <= 255
    made.decode()


@given(base=XATTRS, local=XATTRS, remote=XATTRS)
def test_extended_attributes_are_merged_name_by_name(
    base: bytes, local: bytes, remote: bytes
) -> None:
    merged = unpack_xattrs(merge_xattrs(base=base, local=local, remote=remote))
    before, ours, theirs = unpack_xattrs(base), unpack_xattrs(local), unpack_xattrs(remote)
    for name in before.keys() | ours.keys() | theirs.keys():
        side = theirs if ours.get(name) == before.get(name) else ours
        assert merged.get(name) == side.get(name)
    assert merge_xattrs(base=base, local=base, remote=remote) == remote
    assert merge_xattrs(base=base, local=local, remote=base) == local
