"""What waits for the server for long is put on the platter and sealed, while the mount runs.

An edit is sent within seconds. One that is not (no network, no room, no right) may wait for days,
on a disk that can lose a bit. So whatever nobody has changed for a minute is synced as fsync(2)
would, and sealed (`state/seals`): after a crash as after a clean end it is then known what it was,
and a power loss leaves it trusted. It may be written to again, which breaks the seal, also one
that is being made.
"""

import logging
from typing import Final

import trio

from mountfs.errors import LocalStorageError
from mountfs.state.overlay import Overlay
from mountfs.state.store import StateStore
from mountfs.vfs.durability import Durability

_LOG = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 30.0
_THREADS: Final = 1


async def keep_staging_sealed(state: StateStore) -> None:
    """Seal what waits, until cancelled."""
    durability = Durability(state.database, state.overlays, state.clock)
    limiter = trio.CapacityLimiter(_THREADS)
    while True:
        await trio.sleep(LOOK_EVERY_S)
        await seal_quiet(state, durability, limiter)


async def seal_quiet(
    state: StateStore, durability: Durability, limiter: trio.CapacityLimiter
) -> None:
    """Seal what nobody has changed for `QUIET_S`, as far as the disk can."""
    for overlay in state.sealing.quiet(state.clock.monotonic_s()):
        try:
            await _seal(state, overlay, durability, limiter)
        except LocalStorageError as error:
            _LOG.warning("what waits for the server cannot be sealed: %s", error)


async def _seal(
    state: StateStore, overlay: Overlay, durability: Durability, limiter: trio.CapacityLimiter
) -> None:
    due = state.sealing.begin(overlay, state.clock.monotonic_s())
    await durability.sync_content(overlay)
    for generation_id, staged, _ in due:
        if not state.staging.is_being_sealed(generation_id):
            continue  # written to, or retired, meanwhile
        seal = await trio.to_thread.run_sync(
            state.staging.make_seal,
            generation_id,
            staged,
            trio.from_thread.check_cancelled,
            limiter=limiter,
        )
        state.staging.keep_seal(generation_id, seal)
