"""The block cache under any sequence of calls, closes and crashes, against a plain dictionary."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cache import BlockCache, Opening
from cache.check import find_contradictions
from cache.store import Store

KIB = 1024
LIMIT_BYTES = 600 * KIB
VIEWS = st.sampled_from(["one", "two"])
INDICES = st.integers(0, 14)
LENGTHS = st.sampled_from([0, 10, 1900, 3000, 32 * KIB, 70 * KIB, 150 * KIB])


def chunk_id(index: int) -> bytes:
    return index.to_bytes(32)


def content(view: str, index: int, length: int) -> bytes:
    return (f"{view}{index}{length}.".encode() * (length // 4 + 1))[:length]


class BlockCacheMachine(RuleBasedStateMachine):
    """`was_put` is all that was ever put and not removed; the cache may know less, never else."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.lengths: dict[tuple[str, int], int] = {}
        self.was_put: dict[tuple[str, int], bytes] = {}
        self.pins: Counter[tuple[str, int]] = Counter()
        self.held: Counter[tuple[str, int]] = Counter()
        self.must_stay: set[tuple[str, int]] = set()

    @initialize()
    def open(self) -> None:
        self.cache = BlockCache.open(
            self.folder, device_key=bytes(32), limit_bytes=LIMIT_BYTES, boot_id="boot"
        )

    def is_here(self, view: str, index: int) -> bool:
        return bool(self.cache.contains_many(view, [chunk_id(index)]))

    @rule(view=VIEWS, indices=st.lists(INDICES, max_size=4), length=LENGTHS)
    def put(self, view: str, indices: list[int], length: int) -> None:
        chunks = []
        for index in indices:
            # A chunk never changes under its id: the first length that it got is its length.
            fixed = self.lengths.setdefault((view, index), length)
            self.was_put[view, index] = content(view, index, fixed)
            chunks.append((chunk_id(index), content(view, index, fixed)))
        self.cache.put_many(view, chunks)

    @rule(view=VIEWS, index=INDICES, offset=st.integers(0, 160 * KIB), length=LENGTHS)
    def read(self, view: str, index: int, offset: int, length: int) -> None:
        expected = self.was_put.get((view, index))
        got = self.cache.read(view, chunk_id(index), offset, length)
        assert got is None or (expected is not None and got == expected[offset : offset + length])
        assert self.cache.get(view, chunk_id(index)) in (None, expected)

    @rule(view=VIEWS, index=INDICES)
    def pin(self, view: str, index: int) -> None:
        assert self.cache.pin(view, [chunk_id(index)])
        self.pins[view, index] += 1

    @rule(view=VIEWS, index=INDICES)
    def unpin(self, view: str, index: int) -> None:
        assert self.cache.unpin(view, [chunk_id(index)])
        self.pins[view, index] = max(0, self.pins[view, index] - 1)

    @rule(view=VIEWS, index=INDICES)
    def hold(self, view: str, index: int) -> None:
        self.cache.hold(view, [chunk_id(index)])
        self.held[view, index] += 1

    @rule(view=VIEWS, index=INDICES)
    def release(self, view: str, index: int) -> None:
        if self.held[view, index]:
            self.cache.release(view, [chunk_id(index)])
            self.held[view, index] -= 1

    @rule(view=VIEWS, index=INDICES)
    def remove(self, view: str, index: int) -> None:
        self.cache.remove_many(view, [chunk_id(index)])
        self.was_put.pop((view, index), None)
        self.must_stay.discard((view, index))

    @rule(view=VIEWS)
    def drop_view(self, view: str) -> None:
        self.cache.drop_view(view)
        self.was_put = {key: one for key, one in self.was_put.items() if key[0] != view}
        self.pins = Counter({key: one for key, one in self.pins.items() if key[0] != view})
        self.must_stay = {key for key in self.must_stay if key[0] != view}

    @rule(count_max=st.integers(0, 50))
    def maintain(self, count_max: int) -> None:
        report = self.cache.maintain(count_max=count_max)
        assert report.evicted_count + report.reclaimed_count <= count_max

    @rule(is_clean=st.booleans())
    def reopen(self, is_clean: bool) -> None:
        before = self.cache.stats()
        if is_clean:
            self.cache.close()
        else:
            # What a dead process leaves: everything committed, nothing marked clean.
            self.cache._folder.close()
        self.held.clear()
        self.open()
        assert self.cache.opening is (Opening.RESUMED if is_clean else Opening.RESUMED_AFTER_CRASH)
        after = self.cache.stats()
        assert (before.used_bytes, before.value_count, before.pinned_bytes) == (
            after.used_bytes,
            after.value_count,
            after.pinned_bytes,
        )

    @invariant()
    def it_is_within_its_limit(self) -> None:
        assert self.cache.stats().used_bytes <= LIMIT_BYTES

    @invariant()
    def what_is_pinned_or_held_stays(self) -> None:
        for view, index in self.must_stay:
            assert self.is_here(view, index)
        self.must_stay = {
            key for key in self.was_put if (self.pins[key] or self.held[key]) and self.is_here(*key)
        }

    def teardown(self) -> None:
        if hasattr(self, "cache"):
            while not self.cache.maintain().is_done:
                pass
            pinned_bytes = self.cache.stats().pinned_bytes
            assert pinned_bytes <= self.cache.stats().used_bytes
            self.cache.close()
            store = Store.open(self.folder, map_bytes=LIMIT_BYTES)
            contradictions = find_contradictions(store)
            store.close()
            assert contradictions == []
        shutil.rmtree(self.folder)


TestBlockCacheMachine = BlockCacheMachine.TestCase
TestBlockCacheMachine.settings = settings(stateful_step_count=40, deadline=None)
