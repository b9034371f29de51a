"""Laws of read-ahead: within the file, never twice, bounded, and nothing for random reads."""

from hypothesis import given
from hypothesis import strategies as st

from backend_server.protocol.limits import KIB, MIB
from mountfs.core.read_ahead import WINDOW_BYTES_MAX, ReadPattern, plan_read_ahead

GIB = 1024 * MIB


@given(
    st.lists(st.tuples(st.integers(0, GIB), st.integers(1, MIB)), max_size=50),
    st.integers(0, GIB),
    st.integers(0, 64 * MIB),
)
def test_never_outside_the_file_and_never_more_than_the_window(
    reads: list[tuple[int, int]], size: int, link: int
) -> None:
    pattern = ReadPattern()
    for offset, length in reads:
        pattern, ahead = plan_read_ahead(
            pattern, offset=offset, length=length, size_bytes=size, link_bytes=link
        )
        assert ahead.start <= ahead.end
        if ahead.start < ahead.end:
            assert ahead.end <= size
            assert ahead.end - ahead.start <= WINDOW_BYTES_MAX


@given(st.integers(1, 64 * MIB), st.integers(4 * KIB, MIB), st.integers(0, 64 * MIB))
def test_a_sequential_reader_asks_for_each_byte_once_and_gets_ahead(
    size: int, step: int, link: int
) -> None:
    pattern = ReadPattern()
    asked_to = 0
    for offset in range(0, size, step):
        end = min(offset + step, size)
        pattern, ahead = plan_read_ahead(
            pattern, offset=offset, length=step, size_bytes=size, link_bytes=link
        )
        if ahead.start < ahead.end:
            assert ahead.start >= max(asked_to, end)
            asked_to = ahead.end
    if size > 4 * MIB:
        assert asked_to == size


@given(st.integers(0, 10_000))
def test_reads_all_over_the_file_ask_for_nothing(seed: int) -> None:
    pattern = ReadPattern()
    for nth in range(50):
        offset = (seed + nth * 37) * 5 * MIB % (50 * GIB) + 6 * MIB
        pattern, ahead = plan_read_ahead(
            pattern, offset=offset, length=4 * KIB, size_bytes=100 * GIB, link_bytes=0
        )
        assert ahead.start == ahead.end
        assert not pattern.is_sequential


@given(st.permutations(list(range(8))))
def test_the_kernels_own_reordering_stays_sequential(order: list[int]) -> None:
    pattern = ReadPattern()
    for base in range(0, 64, 8):
        for nth in order:
            pattern, _ = plan_read_ahead(
                pattern,
                offset=(base + nth) * 128 * KIB,
                length=128 * KIB,
                size_bytes=GIB,
                link_bytes=0,
            )
    assert pattern.is_sequential


def test_the_window_follows_the_link() -> None:
    windows = []
    for link in (0, 4 * MIB, 64 * MIB):
        pattern = ReadPattern()
        for offset in range(0, 64 * MIB, 128 * KIB):
            pattern, _ = plan_read_ahead(
                pattern, offset=offset, length=128 * KIB, size_bytes=GIB, link_bytes=link
            )
        windows.append(pattern.window_bytes)
    assert windows == [8 * MIB, 8 * MIB, 16 * MIB]
