"""What must hold when a storm is over and nothing is on its way."""

from typing import Final, cast

from sqlalchemy import Connection, func, select

from backend_server.metadata.tables import drives, ended_epochs, journal, nodes, uploads
from mountfs.core.back_pressure import DEFAULT_STAGING_LIMIT_BYTES
from mountfs.state.conflict_copies import find_conflict_copies
from mountfs.vfs.interface import Inode
from simulation.network import StormyLink
from simulation.work import Work
from simulation.world import Device, World

BYTES_A_STEP_MAX: Final = 6_000
"""Sent by all devices together for one step of work, repetitions of lost requests included."""


async def calm_down(world: World, work: Work, devices: list[Device]) -> None:
    """End the storm, and return when everything came to rest by itself, or with a person's help
    where nobody else can help."""
    for device in devices:
        device.state.overlays.staging_limit_bytes = DEFAULT_STAGING_LIMIT_BYTES
        link = cast(StormyLink, device.transport)
        link.is_cut = link.is_stormy = link.brings_no_blocks = False
    try:
        await world.come_to_rest()
    except AssertionError:
        if not [path for device in devices for path in await _remove_unreadable(work, device)]:
            raise
        await world.come_to_rest()
    await world.quiet()


async def _remove_unreadable(work: Work, device: Device) -> list[str]:
    """Do what a person does with a file of which the rest was lost with the server, and nobody has
    it: look at what was written here, and remove it. Returns the paths."""
    removed = []
    for overlay in device.state.overlays:
        source, state = overlay.source, device.state
        is_lost = source is not None and state.has_lost(source.revision)
        if not is_lost or overlay.node_id not in state.parking.codes:
            continue
        for generation in overlay.generations:
            for extent in generation.extents:
                written = state.overlays.read(generation, extent)
                work.given_up |= set(written.splitlines(keepends=True))
        for parent, name in state.tree.places(overlay.node_id):
            await device.fs.remove_file(Inode(state.inodes.inode_of(parent)), name)
            removed.append(name.decode())
    return removed


async def check_laws(
    world: World, work: Work, devices: list[Device], *, steps: int, is_taking_turns: bool
) -> None:
    """Hold everything together, once nothing is on its way."""
    new = world.new_device("new")
    cast(StormyLink, new.transport).is_stormy = False
    await new.start()
    await world.quiet()
    trees = {device.name: await device.tree() for device in [new, *devices]}
    for device in devices:
        assert trees[device.name] == trees["new"], f"{device.name} shows something else"
        mirrored = sorted(device.state.mirror.all_nodes())
        assert mirrored == sorted(new.state.mirror.all_nodes()), f"the mirror of {device.name}"
        assert not device.sync.pending_count
        assert not device.state.disputes.bases
    kept = {
        line
        for content in trees["new"].values()
        for line in (content or b"").splitlines(keepends=True)
    }
    missing = work.written - work.given_up - kept
    assert not missing, f"lost: {sorted(missing)}"
    if is_taking_turns:
        assert not find_conflict_copies(new.state), "a conflict where nobody met"
    sent = sum(cast(StormyLink, device.transport).sent_bytes for device in devices)
    assert sent <= BYTES_A_STEP_MAX * steps, f"{sent} bytes for {steps} steps"
    await world.server.database.read(_check_books)


def _check_books(connection: Connection) -> None:
    """The server's counters say what its rows say."""
    drive = connection.execute(select(drives)).one()
    used = connection.execute(select(func.coalesce(func.sum(nodes.c.charged_bytes), 0))).scalar()
    assert drive.quota_used == used
    reserved = connection.execute(
        select(func.coalesce(func.sum(uploads.c.reserved_bytes), 0))
    ).scalar()
    assert drive.quota_reserved == reserved
    sequences = list(
        connection.execute(select(journal.c.sequence).order_by(journal.c.sequence)).scalars()
    )
    through = drive.compacted_through or 1  # the root was there before the first entry
    skipped = list(connection.execute(select(ended_epochs).order_by(ended_epochs.c.resumed_at)))
    expected: list[int] = []
    for ended in skipped:
        expected += range(through + 1, ended.kept_through + 1)
        through = max(through, ended.resumed_at)
    assert sequences == expected + list(range(through + 1, drive.head_sequence + 1))
