"""The cache on disk: sealed chunks in LMDB, the oldest forgotten first.

This file says who may do what at the same time; the modules below do it.
Readers never wait for writers. Writers take turns by `_turn`. Lock order: `_turn`, then the store's
gate or a lock of `Holds` or `Views`, each for microseconds.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from cache.boot import load_boot_id
from cache.condition import Condition
from cache.contract import UPKEEP_COUNT_MAX, CacheStats, Opening, UpkeepReport
from cache.errors import CacheUnusable, StoreDamaged, StoreError
from cache.evictor import Evictor
from cache.keyring import KEY_BYTES
from cache.ledger import Change, Ledger
from cache.map_size import map_bytes_for
from cache.marks import sync_folder
from cache.opening import OpenFolder, open_folder
from cache.reader import Reader
from cache.recency import TOUCHED_COUNT_MAX
from cache.rows import CHUNK_KIND, VALUE_KIND
from cache.upkeep import Upkeep
from cache.views import Views
from cache.writer import Writer

PUT_BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
PUT_BATCH_COUNT_MAX: Final = 512
"""One write transaction of a long `put_many`: bounds memory, and how long others wait."""


class BlockCache:
    """A `ChunkCache` in a folder. `contract.py` says what each method promises, and to which
    threads."""

    def __init__(self, folder: OpenFolder, limit_bytes: int) -> None:
        self._folder = folder
        self._condition = Condition(asked_limit_bytes=limit_bytes, limit_bytes=limit_bytes)
        self._turn = threading.Lock()
        self._ledger = Ledger(folder.store)
        self._views = Views(folder.keyring, self._ledger.view_numbers())
        self._reader = Reader(folder, self._views, self._condition)
        shared = (folder, self._ledger, self._views, self._condition)
        evictor = Evictor(*shared)
        self._writer = Writer(*shared, evictor)
        self._upkeep = Upkeep(*shared, evictor, self._writer)

    @classmethod
    def open(
        cls, folder: Path, *, device_key: bytes, limit_bytes: int, boot_id: str | None = None
    ) -> Self:
        """Open the cache in `folder`, made if need be, emptied if it cannot be trusted.

        Args:
            device_key: KEY_BYTES random bytes that only this device has.
            limit_bytes: What the values may take on disk, their tables included.
            boot_id: Of this start of the machine; asked of the kernel when None.

        Raises:
            CacheInUse: Somebody else has it open.
            CacheUnusable: The folder cannot be made, read or written.
        """
        assert len(device_key) == KEY_BYTES
        assert limit_bytes >= 0
        opened = open_folder(
            folder,
            device_key=device_key,
            limit_bytes=limit_bytes,
            boot_id=load_boot_id() if boot_id is None else boot_id,
        )
        try:
            try:
                return cls(opened, limit_bytes)
            except StoreDamaged:
                opened.keyring.destroy_all()
                opened.start_over(map_bytes=map_bytes_for(limit_bytes))
                opened.opening = Opening.EMPTIED_DAMAGED
                return cls(opened, limit_bytes)
        except (OSError, StoreError) as error:
            opened.close()
            raise CacheUnusable(folder, str(error)) from error

    @property
    def opening(self) -> Opening:
        """What the opening found."""
        return self._folder.opening

    # Any thread, inline ------------------------------------------------------------------------

    def get(self, view: str, chunk_id: bytes) -> bytes | None:
        """Return the whole chunk, None if it is not here."""
        return self._reader.open_value(view, CHUNK_KIND, chunk_id, 0, None)

    def read(self, view: str, chunk_id: bytes, offset: int, length: int) -> bytes | None:
        """Return `chunk[offset : offset + length]`, None if it is not here."""
        assert offset >= 0
        assert length >= 0
        return self._reader.open_value(view, CHUNK_KIND, chunk_id, offset, length)

    def get_value(self, view: str, key: bytes) -> bytes | None:
        """Return the value put last under `key`, None if it is not here."""
        return self._reader.open_value(view, VALUE_KIND, key, 0, None)

    def contains_many(self, view: str, chunk_ids: Iterable[bytes]) -> set[bytes]:
        """Return those of `chunk_ids` that are here. Does not count as use."""
        return self._reader.contains_many(view, chunk_ids)

    def hold(self, view: str, chunk_ids: Iterable[bytes]) -> None:
        """Keep chunks from eviction until `release`. Counted."""
        self._condition.holds.hold(view, chunk_ids)

    def release(self, view: str, chunk_ids: Iterable[bytes]) -> None:
        """Take back one `hold` of each chunk."""
        self._condition.holds.release(view, chunk_ids)

    @contextmanager
    def in_use(self, view: str, chunk_ids: Iterable[bytes]) -> Iterator[None]:
        """Hold chunks for the length of a block."""
        held = tuple(chunk_ids)
        self.hold(view, held)
        try:
            yield
        finally:
            self.release(view, held)

    def set_limit_bytes(self, limit_bytes: int) -> None:
        """Change the limit. A lower one takes effect in the next upkeeps."""
        assert limit_bytes >= 0
        self._condition.asked_limit_bytes = limit_bytes
        self._condition.limit_bytes = limit_bytes

    def stats(self) -> CacheStats:
        """Return the cache in numbers."""
        return self._condition.stats(
            used_bytes=self._ledger.used_bytes,
            pinned_bytes=self._ledger.pinned_bytes,
            value_count=self._ledger.value_count,
            file_bytes=self._folder.store.file_bytes(),
        )

    # A worker thread -----------------------------------------------------------------------------

    def put_many(self, view: str, chunks: Iterable[tuple[bytes, bytes]]) -> int:
        """Keep (chunk id, plaintext) pairs; return how many of them found a place."""
        kept = 0
        for batch in _put_batches(chunks):
            with self._turn:
                kept += self._writer.put(view, CHUNK_KIND, batch)
        return kept

    def put_value(self, view: str, key: bytes, value: bytes) -> bool:
        """Keep a small value, replacing what `key` had; whether it is here now."""
        with self._turn:
            return self._writer.put(view, VALUE_KIND, [(key, value)]) == 1

    def remove_many(self, view: str, chunk_ids: Iterable[bytes]) -> int:
        """Forget chunks, also pinned ones; return how many were here."""
        with self._turn:
            found = self._views.find(view)
            if found is None or not self._condition.is_usable:
                return 0
            return self._writer.remove(found.key_of(CHUNK_KIND, one) for one in chunk_ids)

    def drop_view(self, view: str) -> None:
        """Make everything of `view` unreadable, for good. Durable on return.

        Raises:
            KeyNotDestroyed: Unreadable here and now, but the disk would not forget the key.
        """
        # No turn taken: a put on its way commits what nobody can open, for upkeep to reclaim.
        self._views.drop(view)

    def pin(self, view: str, chunk_ids: Iterable[bytes]) -> bool:
        """Keep chunks from eviction, also those that come later; whether that is kept."""
        with self._turn:
            if not self._condition.is_usable:
                return False
            try:
                stored = self._views.ensure_stored(view)
            except OSError:
                return False
            keys = (stored.key_of(CHUNK_KIND, one) for one in chunk_ids)
            return self._writer.change_each(keys, Change.pin)

    def unpin(self, view: str, chunk_ids: Iterable[bytes]) -> bool:
        """Take back one `pin` of each chunk; whether that is kept."""
        with self._turn:
            found = self._views.find(view)
            if found is None:
                return True
            if not self._condition.is_usable:
                return False
            keys = (found.key_of(CHUNK_KIND, one) for one in chunk_ids)
            return self._writer.change_each(keys, Change.unpin)

    def maintain(self, *, count_max: int = UPKEEP_COUNT_MAX) -> UpkeepReport:
        """Do a bounded piece of upkeep."""
        with self._turn:
            if self._condition.is_closed:
                return UpkeepReport()
            return self._upkeep.run(count_max)

    def forget_damaged(self, keys: Iterable[bytes]) -> int:
        """Forget values by their keys in the database; return how many were here."""
        with self._turn:
            return self._writer.remove(keys)

    def start_over(self) -> bool:
        """Go on empty, with new keys; whether the disk let us."""
        with self._turn:
            return not self._condition.is_closed and self._upkeep.start_over()

    def sync(self) -> None:
        """Make everything kept so far durable, as far as the disk lets us."""
        with self._turn:
            if not self._condition.is_closed:
                self._sync()

    def close(self) -> None:
        """Write recency, sync, and mark the stop as clean. Idempotent."""
        with self._turn:
            if self._condition.is_closed:
                return
            if self._condition.is_usable:
                self._upkeep.write_recency(TOUCHED_COUNT_MAX)
            is_synced = self._condition.is_usable and self._sync()
            self._condition.is_closed = True
            if is_synced:
                # Failing here leaves "open since this boot": trusted until the machine stops.
                with suppress(OSError):
                    self._folder.store_mark(
                        replace(
                            self._folder.mark,
                            is_clean=True,
                            short_lived_count=0,
                            database_bytes=self._folder.store.file_bytes(),
                        )
                    )
            self._folder.close()

    def _sync(self) -> bool:
        try:
            self._folder.store.sync()
            self._folder.keyring.sync()
            sync_folder(self._folder.path)
        except (OSError, StoreError):
            return False
        return True


def _put_batches(
    chunks: Iterable[tuple[bytes, bytes]],
) -> Iterator[list[tuple[bytes, bytes]]]:
    batch: list[tuple[bytes, bytes]] = []
    size_bytes = 0
    for chunk in chunks:
        batch.append(chunk)
        size_bytes += len(chunk[1])
        if size_bytes >= PUT_BATCH_BYTES_MAX or len(batch) >= PUT_BATCH_COUNT_MAX:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
