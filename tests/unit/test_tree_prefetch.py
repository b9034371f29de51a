"""Small files come before they are read: of one folder at first, of the whole walk after that."""

from collections.abc import Sequence
from typing import Any

from backend_server.protocol.limits import INLINE_CONTENT_BYTES_MAX
from backend_server.protocol.tree_messages import NodeKind
from mountfs.state.overlay import Source
from mountfs.state.records import NodeRecord
from mountfs.vfs.prefetch import (
    RANDOM_WINDOW_FILES,
    WINDOW_BYTES_MAX,
    WINDOW_FILES,
    WINDOW_STEPS_MAX,
    Place,
    TreePrefetch,
    walk,
)

ROOT = 1
Folder = dict[str, Any]
"""Name to the size of a file, or to another folder."""


class Drive:
    """A tree, and what is asked for while programs read in it."""

    def __init__(self, content: Folder) -> None:
        self.entries: dict[int, dict[bytes, NodeRecord]] = {}
        self.place_of: dict[int, tuple[int, bytes]] = {}
        self.asked: list[list[int]] = []
        self.rows_handed_out = 0
        self._last_id = ROOT
        self._fill(ROOT, content)
        self.prefetch = TreePrefetch(self, self._request)

    def _fill(self, parent: int, content: Folder) -> None:
        self.entries[parent] = {}
        for name, what in sorted(content.items()):
            self._last_id += 1
            node_id = self._last_id
            is_folder = isinstance(what, dict)
            kind = int(NodeKind.FOLDER if is_folder else NodeKind.FILE)
            size = 0 if is_folder else what
            record = NodeRecord(
                node_id, kind, 0o644, 0, 0, 0, 0, 0, size, 1, b"m" * 32, b"", b"", 0
            )  # fmt: skip
            self.entries[parent][name.encode()] = record
            self.place_of[node_id] = (parent, name.encode())
            if is_folder:
                self._fill(node_id, what)

    def _request(self, sources: Sequence[Source]) -> None:
        self.asked.append([source.node_id for source in sources])

    def entries_from(
        self, parent: int, name: bytes, limit: int
    ) -> Sequence[tuple[bytes, NodeRecord]]:
        rows = [item for item in sorted(self.entries[parent].items()) if item[0] >= name][:limit]
        self.rows_handed_out += len(rows)
        return rows

    def places(self, node_id: int) -> list[tuple[int, bytes]]:
        return [self.place_of[node_id]] if node_id in self.place_of else []

    def files(self) -> list[NodeRecord]:
        """All files in the order of a walk."""
        return [record for _, record in walk(self, Place(ROOT, b"")) if not record.is_folder]

    def read_all(self) -> list[int]:
        """Read every file; return those that nobody had asked for when they were opened."""
        late = []
        for record in self.files():
            if not any(record.node_id in window for window in self.asked):
                late.append(record.node_id)
            self.prefetch.opened(record)
        return late


def many(count: int, size: int = 100) -> Folder:
    return {f"{number:05}": size for number in range(count)}


def test_one_file_asks_for_its_neighbours_and_no_other_folder() -> None:
    drive = Drive({"a": many(5), "b": many(5)})
    drive.prefetch.opened(drive.files()[2])
    (window,) = drive.asked
    assert window == [record.node_id for record in drive.files()[2:5]]


def test_a_walk_through_many_small_folders_waits_a_few_times() -> None:
    drive = Drive({f"{number:04}": many(4) for number in range(500)})
    assert len(drive.read_all()) <= 3
    asked = [node_id for window in drive.asked for node_id in window]
    assert len(asked) == len(set(asked)) == 2000
    assert len(drive.asked) < 30


def test_a_walk_through_folders_of_one_file_waits_a_few_times() -> None:
    drive = Drive({f"{number:04}": {"x": {"y": many(1)}} for number in range(500)})
    assert len(drive.read_all()) <= 3


def test_files_between_folders_are_met_in_their_turn() -> None:
    drive = Drive({"a": 10, "b": {"x": 10, "y": {"z": 10}}, "c": 10, "d": many(3), "e": 10})
    assert len(drive.read_all()) <= 3


def test_a_large_folder_is_asked_for_while_it_is_read() -> None:
    drive = Drive(many(1000))
    assert len(drive.read_all()) == 1
    assert max(map(len, drive.asked)) == WINDOW_FILES


def test_a_window_has_a_bound_in_bytes() -> None:
    drive = Drive(many(600, size=INLINE_CONTENT_BYTES_MAX))
    drive.read_all()
    assert max(map(len, drive.asked)) <= WINDOW_BYTES_MAX // INLINE_CONTENT_BYTES_MAX


def test_large_files_are_left_to_their_own_read_ahead() -> None:
    drive = Drive({"a": 10, "huge": 1 << 30, "z": 10})
    drive.prefetch.opened(drive.files()[1])
    assert not drive.asked
    drive.prefetch.opened(drive.files()[0])
    assert drive.asked == [[drive.files()[0].node_id, drive.files()[2].node_id]]


def test_jumping_about_in_a_large_folder_does_not_bring_all_of_it() -> None:
    drive = Drive(many(5000))
    for number in range(4999, 0, -100):
        drive.prefetch.opened(drive.files()[number])
    assert sum(map(len, drive.asked)) <= 50 * RANDOM_WINDOW_FILES


def test_large_files_in_between_cost_bounded_looking() -> None:
    drive = Drive({"a": many(3), "b": many(20_000, size=1 << 30), "c": many(3)})
    files = drive.files()
    for record in files[:3]:
        drive.rows_handed_out = 0
        drive.prefetch.opened(record)
        drive.prefetch.opened(files[-1])
        assert drive.rows_handed_out < 3 * WINDOW_STEPS_MAX


def test_jumping_about_asks_for_no_more_than_each_folder() -> None:
    drive = Drive({f"{number:04}": many(4) for number in range(100)})
    for number in (70, 10, 50, 30):
        drive.prefetch.opened(drive.files()[number * 4])
    assert [len(window) for window in drive.asked] == [4, 4, 4, 4]
