"""Carries out a `core.rescue.RescuePlan` on a state that nobody has open.

Copies are complete, and on the platter, before their rows go; files go last. After a crash in
between the next repair does the rest.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mountfs.core.extents import STAGED
from mountfs.core.rescue import Rescue, RescuePlan
from mountfs.state.database import Database
from mountfs.state.folder_names import sync_folder
from mountfs.state.overlay_rows import OverlayRows
from mountfs.state.recovered_copies import copy_path, copy_range, note_path, put_bytes
from mountfs.state.recovery import current_boot_id, is_unclean_stop, set_untrusted_aside
from mountfs.state.seals import seal_path


def execute_rescue(folder: Path, plan: RescuePlan, paths: Mapping[int, str]) -> list[Path]:
    """Set aside what `plan` says of the state in `folder`. Idempotent. Returns the copies.

    Args:
        paths: Where in the drive the files are, by node.
    """
    recovered = folder / "recovered"
    staging = folder / "staging"
    copies = []
    database = Database(folder / "state.db")
    try:
        if is_unclean_stop(database, current_boot_id()):
            set_untrusted_aside(database, staging, recovered)
        rows = OverlayRows(database)
        for rescue in plan.rescues:
            copy = copy_path(recovered, rescue.node_id, rescue.generation_id)
            _copy(rescue, staging, rows, copy)
            if not copy.exists():
                continue  # nothing of it is left
            if rescue.node_id in paths:
                note_path(copy, paths[rescue.node_id])
            copies.append(copy)
        with database.transaction():
            for rescue in plan.rescues:
                rows.forget(rescue.generation_id)
            for node_id in plan.nodes:
                _go_back_to_what_is_committed(database, node_id)
        database.make_durable()
    finally:
        database.close()
    for rescue in plan.rescues:
        staged = staging / str(rescue.generation_id)
        staged.unlink(missing_ok=True)
        seal_path(staged).unlink(missing_ok=True)
    copies += [claim_file(folder, generation_id) for generation_id in plan.unclaimed]
    return copies


def claim_file(folder: Path, generation_id: int, *, node_id: int = 0, keeps: bool = False) -> Path:
    """Make a whole staging file a recovered copy, and return that.

    Args:
        keeps: The file also stays where it is.
    """
    source = folder / "staging" / str(generation_id)
    copy = copy_path(folder / "recovered", node_id, generation_id)
    while copy.exists() and not copy.samefile(source):
        # An older accident's: numbers began anew before they were counted on from those.
        generation_id += 1
        copy = copy_path(folder / "recovered", node_id, generation_id)
    with suppress(FileExistsError):
        os.link(source, copy)
    sync_folder(copy.parent)
    if not keeps:
        source.unlink()
    return copy


def _copy(rescue: Rescue, staging: Path, rows: OverlayRows, copy: Path) -> None:
    for extent in rescue.kept:
        if extent.place == STAGED:
            copy_range(staging / str(rescue.generation_id), copy, extent.start, extent.end)
        else:
            within = extent.start - extent.origin
            data = rows.small_write(extent.place)[within : within + extent.end - extent.start]
            put_bytes(copy, extent.start, data)


def _go_back_to_what_is_committed(database: Database, node_id: int) -> None:
    """Drop the overlay, but for one that took over another file's content. What was made here and
    was never committed goes as a whole: its names lead again to what the server has there."""
    database.execute(
        "DELETE FROM overlay WHERE node_id = ? AND source_node IN (0, node_id)", (node_id,)
    )
    database.execute("DELETE FROM parked WHERE node_id = ?", (node_id,))
    created = database.execute(
        "DELETE FROM local_node WHERE node_id = ? AND is_created AND NOT EXISTS "
        "(SELECT 1 FROM overlay WHERE overlay.node_id = local_node.node_id)",
        (node_id,),
    )
    if created.rowcount:
        database.execute("DELETE FROM local_dentry WHERE node_id = ?", (node_id,))
        database.execute("DELETE FROM inode_alias WHERE node_id = ?", (node_id,))
