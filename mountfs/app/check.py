"""`mountfs check`: what was truncated, flipped or deleted behind our back, in a device's state.

    load what is there ──► the laws decide (core.*_laws) ──► findings ──► repair, if asked for

Nothing is changed without being asked. Of a state that is mounted nothing can be said, for it
changes meanwhile: the lock of the state folder keeps mounts away until the check ends.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import trio

from backend_server.protocol.identity import DriveId
from cache import CacheInspection, inspect_cache
from mountfs.app.check_access import Reached, reach_server
from mountfs.app.check_repair import repair_cache_of, repair_drive
from mountfs.app.device import KEY_BYTES
from mountfs.app.failures import message_of
from mountfs.app.state_folder import StateFolder
from mountfs.core.findings import Finding, FindingKind, bounded
from mountfs.core.mirror_laws import find_differences, find_unlawful
from mountfs.core.overlay_laws import find_in_overlays
from mountfs.core.repair_outcome import Outcome
from mountfs.errors import MountError
from mountfs.state.inspection import StateFacts, inspect_state
from mountfs.sync.comparison import fetch_comparable
from mountfs.sync.feed import FeedSource

Told = Callable[[str], None]
"""Called, often, with what is being looked at."""


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What a person asked for. `is_quick`: nothing is compared with the server."""

    state: StateFolder
    is_quick: bool = False
    is_repair: bool = False


@dataclass(slots=True)
class Checked:
    """What a check found, and what became of it.

    Args:
        outcomes: One for each finding.
        notes: What a person should know beside: what could not be looked at, and why.
    """

    findings: list[Finding] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, findings: Sequence[Finding], outcomes: Sequence[Outcome]) -> None:
        self.findings += findings
        self.outcomes += outcomes


async def check_device(plan: CheckPlan, told: Told) -> Checked:
    """Return what is wrong with a device's state; repaired, if the plan says so.

    The caller keeps mounts away.
    """
    checked = Checked()
    if plan.is_quick and not plan.is_repair:
        await _check_all(plan, Reached(), checked, told)
        return checked
    async with reach_server(plan.state, checked.notes) as reached:
        await _check_all(plan, reached, checked, told)
    return checked


async def _check_all(plan: CheckPlan, reached: Reached, checked: Checked, told: Told) -> None:
    folder, notes = plan.state, checked.notes
    compared_with = None if plan.is_quick else reached.client
    for drive_id in drives_of(folder):
        facts = await _inspect(folder, drive_id, told)
        findings = await check_drive(folder, drive_id, facts, compared_with, notes, told)
        outcomes = [Outcome.FOUND] * len(findings)
        if plan.is_repair and findings:
            told(f"{place_of(folder, drive_id)}: repairing")
            outcomes = await repair_drive(folder, drive_id, facts, findings, reached, notes)
        checked.add(findings, outcomes)
    told("the cache")
    inspection = await trio.to_thread.run_sync(inspect_cache_of, folder, told)
    findings = list(bounded(findings_of_cache(inspection)))
    outcome = Outcome.FOUND
    if plan.is_repair and findings:
        outcome = await trio.to_thread.run_sync(repair_cache_of, folder, inspection)
    checked.add(findings, [outcome] * len(findings))


def drives_of(folder: StateFolder) -> list[DriveId]:
    """Return the drives that this device keeps a state of."""
    if not folder.drives.is_dir():
        return []
    return [DriveId(path.name) for path in sorted(folder.drives.iterdir()) if path.is_dir()]


def place_of(folder: StateFolder, drive_id: DriveId) -> str:
    """Return where the state of a drive is, within the state folder. Pure."""
    return f"{folder.drives.name}/{drive_id}"


async def _inspect(
    folder: StateFolder, drive_id: DriveId, told: Told
) -> StateFacts | list[Finding]:
    told(f"{place_of(folder, drive_id)}/state.db")
    return await trio.to_thread.run_sync(inspect_drive, folder, drive_id)


def inspect_drive(folder: StateFolder, drive_id: DriveId) -> StateFacts | list[Finding]:
    """Return what is in the state of one drive, or why that cannot be told."""
    return inspect_state(folder.drive(drive_id), place=place_of(folder, drive_id))


async def check_drive(
    folder: StateFolder,
    drive_id: DriveId,
    facts: StateFacts | list[Finding],
    server: FeedSource | None,
    notes: list[str],
    told: Told,
) -> list[Finding]:
    """Return what is wrong with the state of one drive, of which `facts` were loaded."""
    if not isinstance(facts, StateFacts):
        return facts
    place = place_of(folder, drive_id)
    findings = list(find_in_state(facts, place=place))
    if server is not None and facts.cursor:
        told(f"{place}: comparing with the server")
        findings += await _compare(facts, drive_id, server, notes, place=f"{place}/state.db")
    return list(bounded(findings))


def find_in_state(facts: StateFacts, *, place: str) -> Iterator[Finding]:
    """Yield what the rows and files of a drive's state say against each other. Pure."""
    if facts.cursor:
        is_folder = {node_id: record.is_folder for node_id, record in facts.nodes.items()}
        yield from find_unlawful(is_folder, facts.dentries, place=f"{place}/state.db")
    yield from find_in_overlays(facts.overlays, facts.paths(), place=place)


async def _compare(
    facts: StateFacts, drive_id: DriveId, server: FeedSource, notes: list[str], *, place: str
) -> list[Finding]:
    try:
        found = await fetch_comparable(
            server,
            drive_id,
            cursor=facts.cursor,
            nodes=facts.nodes,
            dentries={key: node_id for key, (node_id, _) in facts.dentries.items()},
        )
    except MountError as error:
        notes.append(f"{place} was not compared with the server: {message_of(error)}")
        return []
    if found is None:
        notes.append(
            f"{place} was not compared with the server, which cannot say what changed since, or "
            "does not rest; the next mount catches up anyway"
        )
        return []
    return list(
        find_differences(
            found.nodes,
            found.dentries,
            true_nodes=found.true_nodes,
            true_dentries=found.true_dentries,
            place=place,
        )
    )


def inspect_cache_of(folder: StateFolder, told: Told) -> CacheInspection:
    """Return what is wrong with the device's cache."""
    key = folder.key_file.read_bytes() if folder.key_file.exists() else b""
    if len(key) != KEY_BYTES:
        return CacheInspection(None)  # a new key will be made: nobody can read what is there
    return inspect_cache(
        folder.cache, device_key=key, told=lambda count: told(f"the cache: {count} values")
    )


def findings_of_cache(inspection: CacheInspection) -> Iterator[Finding]:
    """Yield what was found in the cache as findings. Pure."""
    place = "cache/data.mdb"
    if inspection.trouble:
        yield Finding(FindingKind.CACHE_UNUSABLE, place, inspection.trouble)
    for line in inspection.contradictions:
        yield Finding(FindingKind.CACHE_UNLAWFUL, place, line)
    for key in inspection.damaged:
        yield Finding(
            FindingKind.CACHE_VALUE_DAMAGED, place, f"the cached value {key.hex()} does not open"
        )
