"""Repairs what a check found: from the server what it has; what nobody has is set aside.

Nothing that a person wrote is thrown away: it goes to recovered copies, which `mountfs status`
lists.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from backend_server.protocol.identity import DriveId
from cache import CacheCannotOpen, CacheInspection, repair_cache
from mountfs.app.check_access import Reached
from mountfs.app.device import load_device_key
from mountfs.app.failures import message_of
from mountfs.app.identity_of_work import new_node_id, number_anew_for_a_new_device
from mountfs.app.state_folder import StateFolder
from mountfs.core.findings import Finding
from mountfs.core.repair_outcome import Outcome, outcome_of, plan_drive_repair
from mountfs.core.rescue import plan_rescue
from mountfs.errors import MountError
from mountfs.state.inspection import StateFacts
from mountfs.state.salvage import begin_anew
from mountfs.state.set_aside import execute_rescue
from mountfs.state.store import StateStore
from mountfs.sync.reset import reset_mirror

CACHE_LIMIT_BYTES: Final = 10 << 30
"""Of the cache while it is repaired. Nothing is evicted for it: larger files open as well."""


async def repair_drive(
    folder: StateFolder,
    drive_id: DriveId,
    facts: StateFacts | list[Finding],
    findings: Sequence[Finding],
    reached: Reached,
    notes: list[str],
) -> list[Outcome]:
    """Repair the state of one drive. Returns what became of each of `findings`.

    Args:
        facts: What the state said when it was checked, or why it could not be read.
        reached: The server, if it answers.
    """
    plan = plan_drive_repair(findings)
    copies: list[Path] = []
    if plan.begins_anew:
        copies = await trio.to_thread.run_sync(_begin_anew, folder, drive_id, notes)
    if plan.sets_aside and isinstance(facts, StateFacts):
        rescue = plan_rescue(facts.overlays)
        copies = await trio.to_thread.run_sync(
            execute_rescue, folder.drive(drive_id), rescue, facts.paths()
        )
    notes += [f"what was written here, and the server may lack, is in {copy}" for copy in copies]
    is_rebuilt = plan.rebuilds_mirror and await _rebuild_mirror(folder, drive_id, reached, notes)
    return [
        outcome_of(finding, is_mirror_rebuilt=is_rebuilt, has_copies=bool(copies))
        for finding in findings
    ]


def _begin_anew(folder: StateFolder, drive_id: DriveId, notes: list[str]) -> list[Path]:
    drive = folder.drive(drive_id)
    kept, copies = begin_anew(drive, now_s=time.time())
    StateStore.open(drive, drive_id).close()
    notes.append(f"the old state is in {kept}; the next mount fetches the tree from the server")
    return copies


async def _rebuild_mirror(
    folder: StateFolder, drive_id: DriveId, reached: Reached, notes: list[str]
) -> bool:
    """Whether the server could be asked."""
    if reached.client is None or reached.record is None:
        return False
    state = StateStore.open(folder.drive(drive_id), drive_id)
    try:
        number_anew_for_a_new_device(state, reached.record)
        await reset_mirror(
            state,
            reached.client,
            device_name=reached.record.device_name,
            new_node_id=new_node_id,
        )
    except MountError as error:
        notes.append(f"the mirror could not be fetched: {message_of(error)}")
        return False
    finally:
        state.close()
    return True


def repair_cache_of(folder: StateFolder, inspection: CacheInspection) -> Outcome:
    """Drop from the cache what was found. Returns what became of all of it."""
    try:
        is_done = repair_cache(
            folder.cache,
            inspection,
            device_key=load_device_key(folder),
            limit_bytes=CACHE_LIMIT_BYTES,
        )
    except CacheCannotOpen:
        return Outcome.LEFT
    return Outcome.REPAIRED if is_done else Outcome.LEFT
