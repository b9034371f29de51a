"""A new device takes the tree page by page, and shows nothing before it has all of it."""

from itertools import count
from pathlib import Path

import pytest

from backend_server.protocol.identity import DriveId
from backend_server.protocol.tree_messages import (
    ChangesPage,
    DentryState,
    NodeKind,
    NodeState,
    QuotaState,
)
from mountfs.errors import Corruption, Offline
from mountfs.state.store import StateStore
from mountfs.sync.feed import fill_empty_mirror

DRIVE = DriveId("0" * 16)
FILES = 7


def page_of(numbers: range, cursor: str, *, has_more: bool) -> ChangesPage:
    return ChangesPage(
        cursor=cursor,
        consistent_at=FILES,
        has_more=has_more,
        nodes=[NodeState(100 + n, n + 1, NodeKind.FILE, mode=0o600 + n) for n in numbers],
        dentries=[DentryState(1, b"%d" % n, 100 + n, n + 1) for n in numbers],
        applied_through=3,
        quota=QuotaState(1000, 10, 0),
    )


class Source:
    """Three pages of a snapshot and two of what changed meanwhile; call `fails_at` fails."""

    def __init__(self, fails_at: int) -> None:
        self._calls_left = fails_at

    def _call(self) -> None:
        self._calls_left -= 1
        if not self._calls_left:
            raise Offline("cut")

    async def snapshot_page(
        self, drive_id: DriveId, after: str | None, since: str | None = None
    ) -> ChangesPage:
        self._call()
        at = 0 if after is None else int(after)
        page = page_of(range(2 * at, 2 * at + 2), str(at + 1), has_more=at < 2)
        page.nodes[:0] = [NodeState(1, 1, NodeKind.FOLDER)] if not at else []
        return page

    async def changes(self, drive_id: DriveId, cursor: str) -> ChangesPage:
        self._call()
        if cursor == "3":
            page = page_of(range(6, 7), "4", has_more=True)
            page.dentries.append(DentryState(1, b"0", 0, 8))
            page.nodes.append(NodeState(100, 8, NodeKind.REMOVED))
            return page
        return page_of(range(0), "5", has_more=False)


async def test_each_call_may_fail_and_the_next_try_is_whole(tmp_path: Path) -> None:
    for fails_at in count(1):
        state = StateStore.open(tmp_path / str(fails_at), DRIVE)
        try:
            await fill_empty_mirror(state, Source(fails_at))
        except Offline:
            assert not state.cursor, "nobody may take a part for the whole"
            state.close()
            state = StateStore.open(tmp_path / str(fails_at), DRIVE)
            await fill_empty_mirror(state, Source(0))
            is_through = False
        else:
            is_through = True
        assert state.cursor == "5"
        assert state.mirror.children(1) == [(b"%d" % n, 100 + n) for n in range(1, FILES)]
        assert {record.node_id for record in state.mirror.all_nodes()} == {1, *range(101, 107)}
        assert state.quota == QuotaState(1000, 10, 0)
        assert state.batches.last_number == 3
        state.close()
        if is_through:
            assert fails_at == 6
            return


async def test_a_mirror_that_is_shown_is_not_filled(tmp_path: Path) -> None:
    state = StateStore.open(tmp_path, DRIVE)
    await fill_empty_mirror(state, Source(0))
    with pytest.raises(AssertionError):
        await fill_empty_mirror(state, Source(0))
    state.close()


FOLDER, OTHER = 200, 201


class OnePage:
    def __init__(self, nodes: list[NodeState], dentries: list[DentryState]) -> None:
        self._page = page_of(range(0), "1", has_more=False)
        self._page.nodes.extend(nodes)
        self._page.dentries.extend(dentries)

    async def snapshot_page(
        self, drive_id: DriveId, after: str | None, since: str | None = None
    ) -> ChangesPage:
        return self._page

    async def changes(self, drive_id: DriveId, cursor: str) -> ChangesPage:
        return page_of(range(0), "2", has_more=False)


ROOT = NodeState(1, 1, NodeKind.FOLDER)
FOLDERS = [NodeState(node_id, 2, NodeKind.FOLDER) for node_id in (FOLDER, OTHER)]


@pytest.mark.parametrize(
    ("nodes", "dentries", "what"),
    [
        ([], [], "the root is no folder"),
        ([NodeState(1, 1, NodeKind.FILE)], [], "the root is no folder"),
        ([ROOT], [(1, b"up", 1)], "the root has a name"),
        ([ROOT, NodeState(9, 1, NodeKind.FILE)], [(1, b"f", 9), (9, b"x", 9)], "in what is no"),
        ([ROOT], [(7, b"x", 1)], "the root has a name"),
        ([ROOT], [(1, b"x", 9)], "leads to nothing"),
        ([ROOT, *FOLDERS], [(1, b"a", FOLDER), (1, b"b", FOLDER)], "two names"),
        ([ROOT, *FOLDERS], [(OTHER, b"a", FOLDER), (FOLDER, b"b", OTHER)], "inside itself"),
        ([ROOT, *FOLDERS], [(FOLDER, b"a", FOLDER)], "inside itself"),
    ],
)
async def test_what_is_no_tree_is_no_mirror(
    tmp_path: Path, nodes: list[NodeState], dentries: list[tuple[int, bytes, int]], what: str
) -> None:
    state = StateStore.open(tmp_path, DRIVE)
    source = OnePage(nodes, [DentryState(*dentry, 2) for dentry in dentries])
    with pytest.raises(Corruption, match=what):
        await fill_empty_mirror(state, source)
    assert not state.cursor
    state.close()


async def test_a_name_may_come_before_its_folder(tmp_path: Path) -> None:
    """A folder whose attributes were set later comes on a later page than its name."""
    state = StateStore.open(tmp_path, DRIVE)
    state.mirror.apply([ROOT], [DentryState(1, b"d", FOLDER, 2)])
    state.mirror.apply([FOLDERS[0]], [])
    assert state.mirror.complete() is None
    assert state.mirror.subfolders_count(1) == 1
    state.close()
