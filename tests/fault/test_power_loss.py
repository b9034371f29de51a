"""After a power loss only what was synced is trusted; the rest is set aside, never sent."""

from pathlib import Path

from backend_server.protocol.identity import DriveId
from mountfs.core.extents import STAGED
from mountfs.state.overlay import Overlay
from mountfs.state.store import StateStore

NODE = 5
LARGE = 64 * 1024


def opened(folder: Path, boot_id: str) -> StateStore:
    return StateStore.open(folder, DriveId("0" * 16), boot_id=boot_id)


def abandoned(state: StateStore) -> None:
    """What a machine does that loses its power: nothing."""
    state.database.close()


def synced(state: StateStore, overlay: Overlay) -> None:
    through = overlay.touched
    for generation_id in state.overlays.unsynced(overlay):
        state.overlays.sync_file(generation_id)
    state.overlays.mark_synced(overlay, through)


def held(state: StateStore) -> list[tuple[int, int]]:
    overlay = state.overlays.get(NODE)
    assert overlay is not None
    return [
        (extent.start, extent.end)
        for generation in overlay.generations
        for extent in generation.extents
    ]


def written(folder: Path) -> StateStore:
    """64 KiB synced, then 64 KiB that nobody asked to be durable."""
    state = opened(folder, "first boot")
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, b"a" * LARGE, now_ns=1)
    synced(state, overlay)
    state.overlays.write(overlay, LARGE, b"b" * LARGE, now_ns=2)
    return state


def test_the_machine_ran_on_so_all_is_there(tmp_path: Path) -> None:
    abandoned(written(tmp_path))
    state = opened(tmp_path, "first boot")
    assert held(state) == [(0, 2 * LARGE)]
    assert not state.recovered
    state.close()


def test_unsynced_bytes_go_to_a_copy(tmp_path: Path) -> None:
    abandoned(written(tmp_path))
    state = opened(tmp_path, "second boot")
    assert held(state) == [(0, LARGE)]
    (copy,) = state.recovered
    assert copy.node_id == NODE
    assert copy.path.read_bytes()[LARGE:] == b"b" * LARGE
    state.close()
    state = opened(tmp_path, "third boot")
    assert state.recovered == [copy], "listed, and made once"
    copy.path.unlink()
    assert not state.recovered
    state.close()


def test_a_clean_end_is_trusted_at_the_next_boot(tmp_path: Path) -> None:
    written(tmp_path).close()
    state = opened(tmp_path, "second boot")
    assert held(state) == [(0, 2 * LARGE)]
    state.close()


def test_a_promised_small_write_survives_its_move_to_the_file(tmp_path: Path) -> None:
    state = opened(tmp_path, "first boot")
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, b"small", now_ns=1)
    synced(state, overlay)
    state.overlays.write(overlay, LARGE, b"b" * LARGE, now_ns=2)
    assert all(extent.place == STAGED for extent in overlay.generations[0].extents)
    abandoned(state)
    state = opened(tmp_path, "second boot")
    assert held(state) == [(0, 5)]
    state.close()


def test_what_an_old_handle_writes_never_joins_the_file_that_took_its_place(
    tmp_path: Path,
) -> None:
    state = opened(tmp_path, "first boot")
    old = state.overlays.begin(NODE, expected_revision=0, source=None)
    state.overlays.write(old, 0, b"old", now_ns=1)
    state.overlays.detach(old)
    saved = state.overlays.begin(NODE, expected_revision=0, source=None)
    state.overlays.write(saved, 0, b"new", now_ns=2)
    state.overlays.freeze(old)
    state.overlays.write(old, 0, b"older", now_ns=3)
    abandoned(state)
    state = opened(tmp_path, "first boot")
    assert held(state) == [(0, 3)]
    state.close()


def test_bytes_written_while_fsync_runs_are_not_counted_as_synced(tmp_path: Path) -> None:
    state = opened(tmp_path, "first boot")
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, b"a" * LARGE, now_ns=1)
    through = overlay.touched
    assert state.overlays.unsynced(overlay)
    state.overlays.write(overlay, LARGE, b"b" * LARGE, now_ns=2)
    state.overlays.mark_synced(overlay, through)
    assert state.overlays.unsynced(overlay)
    state.close()


def test_what_was_removed_while_open_is_nobodys(tmp_path: Path) -> None:
    state = written(tmp_path)
    overlay = state.overlays.get(NODE)
    assert overlay is not None
    state.overlays.detach(overlay)
    abandoned(state)
    state = opened(tmp_path, "second boot")
    assert not state.recovered
    state.close()


def test_small_writes_that_moved_to_the_file_never_pass_for_later_ones(tmp_path: Path) -> None:
    """Rows that are joined take one number, and `synced_through` may be no higher than that."""
    state = opened(tmp_path, "first boot")
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    for nth in range(600):
        state.overlays.write(overlay, nth * 100, b"x" * 100, now_ns=1)
    synced(state, overlay)
    state.overlays.write(overlay, 60_000, b"y" * 20_000, now_ns=2)
    abandoned(state)
    state = opened(tmp_path, "second boot")
    again = state.overlays.get(NODE)
    assert again is not None
    assert again.size_bytes == 60_000
    for nth in range(20):
        state.overlays.write(again, 60_000 + nth * 30_000, b"z" * 30_000, now_ns=3)
        assert state.overlays.unsynced(again), "written, and on no platter"
        synced(state, again)
    state.close()


def test_the_counter_starts_behind_what_is_said_to_be_synced(tmp_path: Path) -> None:
    state = opened(tmp_path, "first boot")
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, b"a" * LARGE, now_ns=1)
    state.overlays.mark_synced(overlay, 1_000)
    state.close()
    state = opened(tmp_path, "first boot")
    assert state.counter.last >= 1_000
    state.close()


def test_a_small_write_that_was_promised_before_a_restart_survives_its_move(
    tmp_path: Path,
) -> None:
    state = opened(tmp_path, "first boot")
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, b"small", now_ns=1)
    synced(state, overlay)
    abandoned(state)
    state = opened(tmp_path, "first boot")
    again = state.overlays.get(NODE)
    assert again is not None
    state.overlays.write(again, LARGE, b"b" * LARGE, now_ns=2)
    abandoned(state)
    state = opened(tmp_path, "second boot")
    assert held(state) == [(0, 5)]
    state.close()


def test_a_small_write_that_moves_while_fsync_runs_is_synced_where_it_goes(tmp_path: Path) -> None:
    state = opened(tmp_path, "first boot")
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    state.overlays.write(overlay, 0, b"L" * LARGE, now_ns=1)
    state.overlays.freeze(overlay)
    state.overlays.write(overlay, 0, b"small", now_ns=1)
    through = overlay.touched
    generation_ids = state.overlays.unsynced(overlay)
    state.overlays.write(overlay, 5, b"w" * LARGE, now_ns=2)
    for generation_id in generation_ids:
        state.overlays.sync_file(generation_id)
    state.overlays.mark_synced(overlay, through)
    abandoned(state)
    state = opened(tmp_path, "second boot")
    assert held(state) == [(0, LARGE), (0, 5)]
    state.close()
