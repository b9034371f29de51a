"""What one write transaction may do to the five tables, so that their invariants hold.

`rows.py` has the tables and the invariants. Sums are kept in memory too; they change when the
transaction is committed, never before. One writer at a time: the owner serialises.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from cache.rows import (
    UNORDERED,
    IndexRow,
    Totals,
    charged_bytes_of,
    pack_order,
    pack_pin,
    pack_stamp,
    piece_key,
    unpack_order,
    unpack_pin,
    unpack_stamp,
    view_number_of,
    view_prefix,
)
from cache.sealing import piece_count
from cache.store import Store, Transaction


class Change:
    """One write transaction in the words of the cache."""

    def __init__(
        self, transaction: Transaction, totals: dict[int, Totals], next_stamp: int
    ) -> None:
        self._transaction = transaction
        self._totals_before = totals
        self.totals: dict[int, Totals] = {}
        self.next_stamp = next_stamp

    def has(self, key: bytes) -> bool:
        """Whether a value is stored under `key`."""
        return self._transaction.get(b"index", key) is not None

    def is_pinned(self, key: bytes) -> bool:
        """Whether `key` is pinned, stored or not."""
        return self._transaction.get(b"pins", key) is not None

    def insert(self, key: bytes, length: int, pieces: Iterable[memoryview]) -> None:
        """Store a value of `length` plaintext bytes as the newest, in place of what was there.

        Each piece is copied before the next is asked for.
        """
        self.remove(key)
        charged = charged_bytes_of(length)
        for index, piece in enumerate(pieces):
            self._transaction.put(b"items", piece_key(key, index), piece)
        totals = self._totals_of(key)
        totals.used_bytes += charged
        totals.value_count += 1
        row = IndexRow(UNORDERED, charged, length)
        if self.is_pinned(key):
            totals.pinned_bytes += charged
            self._transaction.put(b"index", key, row.pack())
        else:
            self._put_newest(key, row)

    def remove(self, key: bytes) -> int:
        """Forget a value; return the bytes it was charged with, 0 if there is none. Pins stay."""
        row = self._row_of(key)
        if row is None:
            return 0
        for index in range(piece_count(row.length)):
            self._transaction.delete(b"items", piece_key(key, index))
        self._transaction.delete(b"index", key)
        totals = self._totals_of(key)
        totals.used_bytes -= row.charged_bytes
        totals.value_count -= 1
        if row.stamp == UNORDERED:
            totals.pinned_bytes -= row.charged_bytes
        else:
            self._transaction.delete(b"order", pack_stamp(row.stamp))
        return row.charged_bytes

    def renew(self, key: bytes) -> bool:
        """Make a value the newest, unless it is pinned; whether there is one."""
        row = self._row_of(key)
        if row is None:
            return False
        if row.stamp != UNORDERED:
            self._transaction.delete(b"order", pack_stamp(row.stamp))
            self._put_newest(key, row)
        return True

    def pin(self, key: bytes) -> None:
        """Count one more pin of `key`."""
        stored = self._transaction.get(b"pins", key)
        count = 0 if stored is None else unpack_pin(stored)
        self._transaction.put(b"pins", key, pack_pin(count + 1))
        # A view with nothing but pins has a row of totals too, by which it is found and reclaimed.
        totals = self._totals_of(key)
        row = self._row_of(key)
        if count == 0 and row is not None:
            self._transaction.delete(b"order", pack_stamp(row.stamp))
            self._transaction.put(b"index", key, replace(row, stamp=UNORDERED).pack())
            totals.pinned_bytes += row.charged_bytes

    def unpin(self, key: bytes) -> None:
        """Count one pin of `key` less; the last one makes its value the newest."""
        stored = self._transaction.get(b"pins", key)
        if stored is None:
            return
        count = unpack_pin(stored)
        if count > 1:
            self._transaction.put(b"pins", key, pack_pin(count - 1))
            return
        self._transaction.delete(b"pins", key)
        row = self._row_of(key)
        if row is not None:
            self._totals_of(key).pinned_bytes -= row.charged_bytes
            self._put_newest(key, row)

    def reclaim(self, view_number: int, count_max: int) -> int:
        """Forget up to `count_max` values and pins of a dropped view; return how many.

        Fewer than `count_max` means that nothing of the view is left.
        """
        prefix = view_prefix(view_number)
        keys = self._keys_with(b"index", prefix, count_max)
        for key in keys:
            self.remove(key)
        pins = self._keys_with(b"pins", prefix, count_max - len(keys))
        for key in pins:
            self._transaction.delete(b"pins", key)
        count = len(keys) + len(pins)
        if count < count_max:
            self.totals[view_number] = Totals()
        return count

    def write_totals(self) -> None:
        """Store the sums that this transaction changed. Called once, at its end."""
        for view_number, totals in self.totals.items():
            if totals == Totals() and not self._keys_with(b"pins", view_prefix(view_number), 1):
                self._transaction.delete(b"totals", view_prefix(view_number))
            else:
                self._transaction.put(b"totals", view_prefix(view_number), totals.pack())

    def _keys_with(self, table: bytes, prefix: bytes, count_max: int) -> list[bytes]:
        keys: list[bytes] = []
        for key, _ in self._transaction.scan(table, prefix):
            if len(keys) >= count_max or not key.startswith(prefix):
                break
            keys.append(key)
        return keys

    def _row_of(self, key: bytes) -> IndexRow | None:
        row = self._transaction.get(b"index", key)
        return None if row is None else IndexRow.unpack(row)

    def _put_newest(self, key: bytes, row: IndexRow) -> None:
        """Write `row` with a new stamp, and the order row of that stamp."""
        stamp = self.next_stamp
        self.next_stamp += 1
        self._transaction.put(b"index", key, replace(row, stamp=stamp).pack())
        self._transaction.put(b"order", pack_stamp(stamp), pack_order(row.charged_bytes, key))

    def _totals_of(self, key: bytes) -> Totals:
        number = view_number_of(key)
        totals = self.totals.get(number)
        if totals is None:
            totals = replace(self._totals_before.get(number, Totals()))
            self.totals[number] = totals
        return totals


class Ledger:
    """The sums and the order of everything stored."""

    def __init__(self, store: Store) -> None:
        self.reload(store)

    def reload(self, store: Store) -> None:
        """Take the sums from what `store` holds. Raises `StoreError`."""
        self._store = store
        with store.scanning() as transaction:
            self._totals = {
                view_number_of(key): Totals.unpack(row) for key, row in transaction.scan(b"totals")
            }
            last = transaction.last_key(b"order")
        self._next_stamp = 0 if last is None else unpack_stamp(last) + 1

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Run one write transaction; its sums count once it is committed.

        Raises:
            StoreError: Nothing of it was kept.
        """
        with self._store.writing() as transaction:
            change = Change(transaction, self._totals, self._next_stamp)
            yield change
            change.write_totals()
        totals = {**self._totals, **change.totals}
        # Readers of the sums see the old dictionary or the new one, never half of a change.
        self._totals = {number: row for number, row in totals.items() if row != Totals()}
        self._next_stamp = change.next_stamp

    def oldest(self, transaction: Transaction) -> Iterator[tuple[bytes, int]]:
        """Give (key, charged bytes) of unpinned values, oldest first."""
        for _, row in transaction.scan(b"order"):
            charged, key = unpack_order(row)
            yield key, charged

    def view_numbers(self) -> list[int]:
        """Return every view number that has rows."""
        with self._store.scanning() as transaction:
            return [view_number_of(key) for key, _ in transaction.scan(b"totals")]

    @property
    def used_bytes(self) -> int:
        return sum(totals.used_bytes for totals in self._totals.values())

    @property
    def value_count(self) -> int:
        return sum(totals.value_count for totals in self._totals.values())

    @property
    def pinned_bytes(self) -> int:
        return sum(totals.pinned_bytes for totals in self._totals.values())
