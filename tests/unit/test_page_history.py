"""What a second device may read of a file while the first writes it."""

import pytest

from differential.page_history import PAGE_BYTES, ImpossibleRead, PageHistory, Reader

PAGES = [bytes([number]) * PAGE_BYTES for number in range(4)]


def test_what_was_is_read_in_order_and_never_again() -> None:
    history = PageHistory(PAGES[0] * 2)
    reader = Reader(history)
    reader.read(0, PAGES[0])
    history.write(0, PAGES[1])
    history.write(PAGE_BYTES, PAGES[2])
    reader.read(0, PAGES[0])
    reader.read(1, PAGES[2])  # of the second write: so the first is behind it too
    with pytest.raises(ImpossibleRead, match="behind write 2"):
        reader.read(0, PAGES[0])
    reader.read(0, PAGES[1])
    with pytest.raises(ImpossibleRead, match="never"):
        reader.read(0, PAGES[3])


def test_one_write_is_one_moment_for_all_its_pages() -> None:
    history = PageHistory(PAGES[0] * 2)
    history.write(100, PAGES[1])
    reader = Reader(history)
    reader.read(1, history.content[PAGE_BYTES:])
    with pytest.raises(ImpossibleRead):
        reader.read(0, PAGES[0])


def test_a_page_that_is_as_it_was_before_may_be_either() -> None:
    history = PageHistory(PAGES[0])
    history.write(0, PAGES[1])
    history.write(0, PAGES[0])
    reader = Reader(history)
    reader.read(0, PAGES[0])
    reader.read(0, PAGES[1])
    reader.read(0, PAGES[0])
    assert reader.at_write == 2
