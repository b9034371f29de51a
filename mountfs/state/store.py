"""Everything this device knows of one drive, opened together."""

import os
from contextlib import ExitStack
from pathlib import Path

from backend_server.protocol.identity import DriveId
from backend_server.protocol.lost_past import LostPast
from backend_server.protocol.tree_messages import QuotaState
from mountfs.clock import Clock, SystemClock
from mountfs.core.back_pressure import DEFAULT_STAGING_LIMIT_BYTES
from mountfs.errors import SetupError, StateDamaged
from mountfs.state.access_times import AccessTimes
from mountfs.state.batches import Batches
from mountfs.state.counter import ChangeCounter
from mountfs.state.database import Database, find_lost_database, state_damaged
from mountfs.state.disputes import Disputes
from mountfs.state.folder_names import make_folder
from mountfs.state.inodes import InodeAliases, Writers
from mountfs.state.local_changes import LocalChanges
from mountfs.state.mirror import Mirror
from mountfs.state.next_mirror import NextMirror
from mountfs.state.overlays import Overlays
from mountfs.state.parking import Parking
from mountfs.state.recent_changes import RecentChanges
from mountfs.state.recovered_copies import RecoveredCopy, find_recovered, highest_generation
from mountfs.state.recovery import (
    current_boot_id,
    is_unclean_stop,
    mark_clean,
    mark_open,
    set_untrusted_aside,
)
from mountfs.state.sealing import Sealing
from mountfs.state.staging import StagingFiles
from mountfs.state.tree import LocalTree


class StateStore:
    """Open with `open`, close with `close`. One process, one thread: the event loop's."""

    def __init__(
        self,
        folder: Path,
        drive_id: DriveId,
        *,
        clock: Clock,
        staging_limit_bytes: int,
        boot_id: str,
    ) -> None:
        self.drive_id = drive_id
        self.folder = folder
        self.clock = clock
        self.database = Database(folder / "state.db")
        with ExitStack() as on_failure:
            on_failure.callback(self.database.close)
            self.staging = StagingFiles(folder / "staging")
            if is_unclean_stop(self.database, boot_id):
                set_untrusted_aside(self.database, folder / "staging", folder / "recovered")
            else:
                self._refuse_lost_log()
            self.database.count_generations_from(highest_generation(folder / "recovered"))
            self.counter = ChangeCounter(self.database)
            self.mirror = Mirror(self.database)
            self.next_mirror = NextMirror(self.database, self.mirror)
            self.recent = RecentChanges()
            self.changes = LocalChanges(self.database, self.counter, clock, self.recent)
            self.overlays = Overlays(
                self.database, self.staging, self.counter, clock, self.recent,
                staging_limit_bytes=staging_limit_bytes,
            )  # fmt: skip
            self.sealing = Sealing(self.overlays, self.staging)
            self.tree = LocalTree(self.mirror, self.changes, self.overlays)
            self.inodes = InodeAliases(self.database)
            self.access_times = AccessTimes(self.database)
            self.writers = Writers()
            self.batches = Batches(self.database)
            self.parking = Parking(self.database)
            self.disputes = Disputes(self.database)
            self._quota = self._stored_quota()
            self._lost_past = self._stored_lost_past()
            self.database.on_rollback = self._reload
            mark_open(self.database, boot_id)
            # Before the first write, or a power loss could pass for a clean end: files come to the
            # platter by themselves long before the rows that nobody synced.
            self.database.make_durable()
            on_failure.pop_all()

    @classmethod
    def open(
        cls,
        folder: Path,
        drive_id: DriveId,
        *,
        clock: Clock | None = None,
        staging_limit_bytes: int = DEFAULT_STAGING_LIMIT_BYTES,
        boot_id: str | None = None,
    ) -> "StateStore":
        """Return the state of a drive, made if it is not there.

        Raises:
            SetupError: The folder cannot be written, or holds a newer version's state, or one that
                is damaged: nothing in it was changed.
        """
        try:
            make_folder(folder)
        except OSError as error:
            raise SetupError(
                f"the state folder {folder} cannot be made: {error.strerror}",
                remedy="choose another with --state",
            ) from error
        if not os.access(folder, os.W_OK):
            raise SetupError(
                f"the state folder {folder} cannot be written",
                remedy="choose another with --state, or change its owner",
            )
        if reason := find_lost_database(folder):
            raise state_damaged(folder, reason)
        try:
            return cls(
                folder,
                drive_id,
                clock=clock or SystemClock(),
                staging_limit_bytes=staging_limit_bytes,
                boot_id=current_boot_id() if boot_id is None else boot_id,
            )
        except StateDamaged as error:
            raise state_damaged(folder, str(error)) from error

    @property
    def cursor(self) -> str:
        """Where the mirror stands; empty before the first snapshot."""
        return self.value("cursor")

    @property
    def recovered(self) -> list[RecoveredCopy]:
        """Copies of what power losses, or damage, cut off, as far as nobody removed them."""
        return find_recovered(self.folder / "recovered")

    def value(self, key: str) -> str:
        row = self.database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def set_value(self, key: str, value: str) -> None:
        """Joins the caller's transaction."""
        self.database.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?,?)", (key, value))

    @property
    def quota(self) -> QuotaState:
        """The server's word as of the last answer; all zero before the first."""
        return self._quota

    def set_quota(self, quota: QuotaState) -> None:
        """Joins the caller's transaction."""
        if quota != self._quota:
            self.set_value(
                "quota", f"{quota.limit_bytes} {quota.used_bytes} {quota.reserved_bytes}"
            )
            self._quota = quota

    @property
    def lost_past(self) -> LostPast | None:
        """What the server lost of what was seen here, when it came back from a backup; of several
        times all. None: nothing."""
        return self._lost_past

    def has_lost(self, sequence: int) -> bool:
        """Whether the server lost this change, or revision."""
        return self._lost_past is not None and self._lost_past.has(sequence)

    def add_lost_past(self, lost: LostPast) -> None:
        """Joins the caller's transaction."""
        old = self._lost_past or lost
        both = LostPast(
            min(lost.kept_through, old.kept_through), max(lost.resumed_at, old.resumed_at)
        )
        self.set_value("lost_past", f"{both.kept_through} {both.resumed_at}")
        self._lost_past = both

    def _stored_lost_past(self) -> LostPast | None:
        stored = self.value("lost_past")
        try:
            return LostPast(*(int(field) for field in stored.split())) if stored else None
        except (TypeError, ValueError) as error:
            raise StateDamaged(f"the lost past {stored!r} makes no sense") from error

    def _stored_quota(self) -> QuotaState:
        stored = self.value("quota") or "0 0 0"
        try:
            limit, used, reserved = (int(field) for field in stored.split())
        except ValueError as error:
            raise StateDamaged(f"the quota {stored!r} makes no sense") from error
        return QuotaState(limit, used, reserved)

    def _refuse_lost_log(self) -> None:
        """Files of generations that the database never heard of are no garbage: it is older than
        they are. One beyond it is a first write that was never answered: its row was not
        committed. (A power loss may take more, of what nobody asked to be synced.)"""
        newest = max(self.staging.generation_ids(), default=0)
        if newest > self.database.last_generation() + 1:
            raise state_damaged(self.database.path, "it is older than what was written here")

    def _reload(self) -> None:
        """A transaction was undone (a full disk): memory must say what the rows say."""
        self.mirror.forget_remembered()
        self.changes.load()
        self.overlays.load()
        self.inodes.load()
        self.access_times.load()
        self.batches.load()
        self.parking.load()
        self.disputes.load()
        self._quota = self._stored_quota()
        self._lost_past = self._stored_lost_past()

    def close(self) -> None:
        """Put everything on the platter and let go. Nothing that was answered is lost by not
        calling it, as long as the machine runs."""
        for overlay in self.overlays:
            through = overlay.touched
            for generation_id in self.overlays.unsynced(overlay):
                self.staging.sync(generation_id)
            self.overlays.mark_synced(overlay, through)
        self.sealing.seal_all()
        self.database.make_durable()
        mark_clean(self.database)
        self.staging.close()
        self.database.close()
