"""Whatever is written, cut off, frozen and committed: a file reads as a plain one would."""

import itertools
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backend_server.protocol.identity import DriveId
from mountfs.core.extents import STAGED, Extents
from mountfs.core.layers import FromBase, FromLayer, dirty_ranges, parts
from mountfs.state.overlay import Overlay, Source
from mountfs.state.store import StateStore

NODE = 77
BASE = bytes(range(1, 200)) * 3


def content(state: StateStore, overlay: Overlay, base: bytes) -> bytes:
    """The bytes of an overlay, put together as a reader does."""
    made = []
    layers = overlay.generations
    for part in parts(layers, 0, overlay.size_bytes):
        if isinstance(part, FromLayer):
            made.append(state.overlays.read(layers[part.layer_index], part.extent))
        elif isinstance(part, FromBase):
            made.append(base[part.start : part.end])
        else:
            made.append(bytes(part.end - part.start))
    return b"".join(made)


class OverlayMachine(RuleBasedStateMachine):
    """An overlay on disk against a bytearray; SIGKILL is closing without a word."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._state = self._open()
        self._base = b""
        self._model = bytearray()
        self._written: list[tuple[int, int]] = []
        self._fill = 0

    def _open(self) -> StateStore:
        return StateStore.open(Path(self._folder.name) / "state", DriveId("0" * 16))

    @initialize(has_base=st.booleans())
    def begin(self, has_base: bool) -> None:
        source = Source(NODE, 1, b"m" * 32, b"", len(BASE)) if has_base else None
        self._base = BASE if has_base else b""
        self._model = bytearray(self._base)
        self._state.overlays.begin(NODE, expected_revision=1, source=source)

    @property
    def overlay(self) -> Overlay:
        overlay = self._state.overlays.get(NODE)
        assert overlay is not None
        return overlay

    @rule(offset=st.integers(0, 70_000), length=st.sampled_from([1, 5, 4096, 16384, 20_000]))
    def write(self, offset: int, length: int) -> None:
        self._fill = self._fill % 251 + 1
        data = bytes([self._fill]) * length
        self._written.append((offset, length))
        self._state.overlays.write(self.overlay, offset, data, now_ns=5)
        self._model.extend(bytes(max(offset + length - len(self._model), 0)))
        self._model[offset : offset + length] = data

    @precondition(lambda self: self._written)
    @rule(index=st.integers(0, 1 << 20), count=st.integers(1, 3))
    def write_the_same_place_again(self, index: int, count: int) -> None:
        offset, length = self._written[index % len(self._written)]
        for _ in range(count):
            self.write(offset, length)

    @rule(size=st.integers(0, 80_000))
    def truncate(self, size: int) -> None:
        self._state.overlays.truncate(self.overlay, size, now_ns=6)
        del self._model[size:]
        self._model.extend(bytes(size - len(self._model)))

    @rule()
    def freeze(self) -> None:
        self._state.overlays.freeze(self.overlay)

    @rule()
    def killed(self) -> None:
        self._state.close()
        self._state = self._open()

    @rule()
    def commit(self) -> None:
        """What is there becomes the base; the overlay lives on only if more is written."""
        overlay = self.overlay
        frozen = bytes(self._model)
        ids = [generation.generation_id for generation in overlay.generations]
        self._state.overlays.freeze(overlay)
        self.write(3, 5)
        self._state.overlays.retire(overlay, ids, Source(NODE, 2, b"n" * 32, b"", len(frozen)))
        self._base = frozen

    @invariant()
    def reads_as_a_plain_file(self) -> None:
        overlay = self._state.overlays.get(NODE)
        if overlay is None:
            return
        assert overlay.size_bytes == len(self._model)
        assert content(self._state, overlay, self._base) == self._model
        ranges = dirty_ranges(overlay.generations, overlay.size_bytes)
        assert all(a.end < b.start for a, b in itertools.pairwise(ranges))

    def teardown(self) -> None:
        self._state.close()
        self._folder.cleanup()


OverlayMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestOverlay = OverlayMachine.TestCase


@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 60), st.integers(1, 12), st.booleans()),
        max_size=24,
    )
)
def test_extents_say_who_wrote_each_byte_last(
    steps: list[tuple[bool, int, int, bool]],
) -> None:
    extents = Extents()
    model: dict[int, int] = {}
    for number, (is_cut, at, length, is_staged) in enumerate(steps):
        if is_cut:
            extents.truncate(at)
            model = {byte: place for byte, place in model.items() if byte < at}
        else:
            place = STAGED if is_staged else number
            extents.cover(at, at + length, place, at)
            model.update(dict.fromkeys(range(at, at + length), place))
        found = {b: extent.place for extent in extents for b in range(extent.start, extent.end)}
        assert found == model
        ordered = list(extents)
        for left, right in itertools.pairwise(ordered):
            assert left.end <= right.start
            assert not (left.end == right.start and left.place == right.place == STAGED)


def test_a_page_written_over_and_over_stays_one_row(tmp_path: Path) -> None:
    """A database does that all day; a staging file would make each of its fsync(2)s two."""
    state = StateStore.open(tmp_path / "state", DriveId("0" * 16))
    overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
    for round_ in range(100):
        for page in range(4):
            state.overlays.write(overlay, page * 4096, bytes([round_]) * 4096, now_ns=round_)
    assert state.database.execute("SELECT count(*) FROM overlay_log").fetchone() == (4,)
    assert not state.overlays.unsynced(overlay)
    assert content(state, overlay, b"") == bytes([99]) * 4 * 4096
    state.close()


@given(
    writes=st.lists(
        st.tuples(st.sampled_from([0, 10, 20, 30]), st.sampled_from([10, 20, 30])), max_size=12
    )
)
@settings(max_examples=60, deadline=None)
def test_what_is_left_of_a_write_survives_a_write_over_another_part_of_it(
    writes: list[tuple[int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = StateStore.open(Path(folder), DriveId("0" * 16))
        overlay = state.overlays.begin(NODE, expected_revision=0, source=None)
        model = bytearray(60)
        state.overlays.write(overlay, 0, bytes(model), now_ns=1)
        for number, (offset, length) in enumerate(writes, start=1):
            data = bytes([number]) * length
            state.overlays.write(overlay, offset, data, now_ns=1)
            model[offset : offset + length] = data
        assert content(state, overlay, b"") == model
        state.close()
        state = StateStore.open(Path(folder), DriveId("0" * 16))
        again = state.overlays.get(NODE)
        assert again is not None
        assert content(state, again, b"") == model
        state.close()
