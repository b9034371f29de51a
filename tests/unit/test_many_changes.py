"""20,000 changes, or a tree of 20,000 nodes, reach the mirror while a program works beside it.

The pages are made as they are asked for, so that what memory holds is what the client holds.
"""

import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio

from backend_server.protocol.identity import DriveId
from backend_server.protocol.limits import MIB
from backend_server.protocol.tree_messages import (
    ChangesPage,
    DentryState,
    NodeKind,
    NodeState,
    QuotaState,
)
from mountfs.errors import CursorReset, LocalStorageFull
from mountfs.state.next_mirror import ROWS_AT_ONCE
from mountfs.state.store import StateStore
from mountfs.state.view_changes import ViewChanges
from mountfs.sync.applying import Applied, apply
from mountfs.sync.gathering import SMALL_ROWS_MAX, gather
from mountfs.sync.large_arrival import move_into_mirror

DRIVE = DriveId("0" * 16)
PAGE = 5000
FIRST = 1 << 20
ROOT = NodeState(1, 1, NodeKind.FOLDER, mode=0o755)


class Source:
    """`count` files in the root, as a feed; as a snapshot too, if the feed is reset."""

    def __init__(self, count: int, *, page: int = PAGE, is_reset: bool = False) -> None:
        self._count = count
        self._rows_of_page = page
        self._is_reset = is_reset
        self.mode = 0o600

    async def snapshot_page(
        self, drive_id: DriveId, after: str | None, since: str | None = None
    ) -> ChangesPage:
        return self._page(int(after or 0))

    async def changes(self, drive_id: DriveId, cursor: str) -> ChangesPage:
        if cursor == "start":
            if self._is_reset:
                raise CursorReset("compacted")
            return self._page(0)
        return self._page(int(cursor))

    def _page(self, at: int) -> ChangesPage:
        numbers = range(at, min(at + self._rows_of_page, self._count))
        return ChangesPage(
            cursor=str(numbers.stop),
            consistent_at=self._count,
            has_more=numbers.stop < self._count,
            nodes=[
                *([ROOT] if not at else []),
                *(NodeState(FIRST + n, n + 1, NodeKind.FILE, mode=self.mode) for n in numbers),
            ],
            dentries=[DentryState(1, b"%06d" % n, FIRST + n, n + 1) for n in numbers],
            applied_through=0,
            quota=QuotaState(1000, 10, 0),
        )


@contextmanager
def state_at_start(folder: Path, gone_count: int = 0) -> Iterator[StateStore]:
    """A state with a cursor, and a few files of which the server does not know any more."""
    state = StateStore.open(folder, DRIVE)
    numbers = range(gone_count)
    state.mirror.apply(
        [ROOT, *(NodeState(100 + n, 1, NodeKind.FILE) for n in numbers)],
        [DentryState(1, b"gone %d" % n, 100 + n, 1) for n in numbers],
    )
    state.set_value("cursor", "start")
    yield state
    state.close()


def applied(state: StateStore, arrival: object) -> Applied:
    return apply(
        state,
        arrival,  # type: ignore[arg-type]
        None,
        {},
        device_name="laptop",
        new_node_id=iter(range(1 << 40, 1 << 41)).__next__,
        untie=False,
        is_merging=False,
    )


async def catch_up(state: StateStore, source: Source) -> ViewChanges:
    """As the loop of `DriveSync` does; returns all that programs see differently."""
    seen = ViewChanges()

    def told(view: ViewChanges) -> None:
        seen.dentries |= view.dentries
        seen.attributes |= view.attributes

    arrival = await gather(source, state, state.cursor)
    told(applied(state, arrival).view)
    await move_into_mirror(state, told)
    return seen


@pytest.mark.parametrize("is_reset", [False, True])
async def test_others_run_between_a_few_hundred_rows(tmp_path: Path, *, is_reset: bool) -> None:
    """No run of rows longer than a slice is written without a checkpoint, and whoever looks in
    between sees the tree of before or that of after."""
    count = 20_000
    with state_at_start(tmp_path, gone_count=300) as state:
        written, sizes = [0], set()
        before = state.database.rows_changed

        async def work() -> None:
            nonlocal before
            while True:
                await trio.lowlevel.checkpoint()
                written.append(state.database.rows_changed - before)
                before = state.database.rows_changed
                if len(written) % 50 == 0:
                    sizes.add(sum(1 for _ in state.tree.children(1)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            seen = await catch_up(state, Source(count, is_reset=is_reset))
            nursery.cancel_scope.cancel()
        gone = 300 if is_reset else 0
        assert sizes <= {300, count + 300 - gone}
        assert len(sizes) == 2
        assert max(written) < 5 * ROWS_AT_ONCE, "two slices, each of rows put and rows let go"
        assert len(seen.dentries) == count + gone
        assert len(list(state.mirror.all_nodes())) == 1 + count + 300 - gone
        assert state.cursor == str(count)


async def test_a_reset_tells_only_what_differs(tmp_path: Path) -> None:
    with state_at_start(tmp_path) as state:
        await catch_up(state, Source(SMALL_ROWS_MAX * 2))
        state.set_value("cursor", "start")
        source = Source(SMALL_ROWS_MAX * 2 + 7, is_reset=True)
        state.mirror.apply([NodeState(FIRST, 1, NodeKind.FILE, mode=0o777)], [])
        seen = await catch_up(state, source)
        assert seen.dentries == {(1, b"%06d" % (SMALL_ROWS_MAX * 2 + n)) for n in range(7)}
        assert FIRST in seen.attributes


@pytest.mark.parametrize("small_rows_max", [-1, SMALL_ROWS_MAX])
async def test_also_what_the_mirror_never_had_is_told_as_removed(
    tmp_path: Path, small_rows_max: int
) -> None:
    """Made here, committed, and removed by others before the feed told of it."""

    class Removing(Source):
        async def changes(self, drive_id: DriveId, cursor: str) -> ChangesPage:
            page = await super().changes(drive_id, cursor)
            page.nodes.append(NodeState(77, 9, NodeKind.REMOVED))
            return page

    with state_at_start(tmp_path) as state:
        removed: set[int] = set()
        source = Removing(3)
        arrival = await gather(source, state, state.cursor, small_rows_max=small_rows_max)
        removed |= applied(state, arrival).view.removed
        await move_into_mirror(state, lambda view: removed.update(view.removed))
        assert removed == {77}


@pytest.mark.parametrize("is_reset", [False, True])
async def test_memory_holds_some_pages_and_not_the_tree(tmp_path: Path, *, is_reset: bool) -> None:
    async def peak_bytes(count: int) -> int:
        with state_at_start(tmp_path / str(count)) as state:
            source = Source(count, page=1000, is_reset=is_reset)
            tracemalloc.start()
            arrival = await gather(source, state, state.cursor)
            applied(state, arrival)
            await move_into_mirror(state, lambda view: None)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak

    small, large = await peak_bytes(4000), await peak_bytes(10_000)
    assert large < small + MIB // 2, "the rows of 6,000 more nodes would be 3 MB"


@pytest.mark.parametrize("is_reset", [False, True])
async def test_what_is_gathered_leaves_room_for_programs(tmp_path: Path, *, is_reset: bool) -> None:
    with state_at_start(tmp_path, gone_count=3) as state:

        class Filling(Source):
            """The disk has filled by the time of the third page."""

            def _page(self, at: int) -> ChangesPage:
                if at == 2 * PAGE:
                    state.next_mirror.free_bytes_min = 1 << 60
                return super()._page(at)

        with pytest.raises(LocalStorageFull):
            await gather(Filling(4 * PAGE, is_reset=is_reset), state, state.cursor)
        assert state.next_mirror.node(FIRST) is None
        assert state.next_mirror.dentry((1, b"000000")) is None
        (free_pages,) = state.database.execute("PRAGMA freelist_count").fetchone()
        assert free_pages > 100, "rows of programs find place where those were"
        state.next_mirror.free_bytes_min = 0
        await catch_up(state, Source(PAGE, is_reset=is_reset))
        assert len(list(state.tree.children(1))) == PAGE + (0 if is_reset else 3)


async def test_a_full_disk_while_it_is_shown_leaves_the_old_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise LocalStorageFull("full")

    with state_at_start(tmp_path, gone_count=3) as state:
        arrival = await gather(Source(PAGE), state, state.cursor)
        with monkeypatch.context() as disk:
            disk.setattr(state.batches, "number_from", full)
            with pytest.raises(LocalStorageFull):
                applied(state, arrival)
        assert (state.cursor, len(list(state.tree.children(1)))) == ("start", 3)
        await catch_up(state, Source(PAGE))
        assert len(list(state.tree.children(1))) == PAGE + 3


async def test_a_full_disk_on_the_way_into_the_mirror_only_delays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with state_at_start(tmp_path) as state:
        arrival = await gather(Source(PAGE), state, state.cursor)
        applied(state, arrival)
        steps = 0

        def told(view: ViewChanges) -> None:
            nonlocal steps
            steps += 1
            if steps == 10:
                raise LocalStorageFull("full")

        with pytest.raises(LocalStorageFull):
            await move_into_mirror(state, told)
        assert state.mirror.is_layered
        assert len(list(state.tree.children(1))) == PAGE
        await move_into_mirror(state, lambda view: None)
        assert not state.mirror.is_layered
        assert len(list(state.tree.children(1))) == PAGE


async def test_an_inode_of_what_is_shown_and_not_moved_yet_outlives_a_restart(
    tmp_path: Path,
) -> None:
    with state_at_start(tmp_path) as state:
        applied(state, await gather(Source(PAGE), state, state.cursor))
        state.inodes.point(7, FIRST)
    with closing(StateStore.open(tmp_path, DRIVE)) as again:
        assert again.mirror.is_layered
        assert again.inodes.node_of(7) == FIRST
