"""What a cache is worth after its process, its machine or its files came to harm."""

import subprocess
import sys
from pathlib import Path

import pytest

from cache import BlockCache, CacheInUse, CacheUnusable, Opening
from cache.opening import SHORT_LIVED_COUNT_MAX
from cache.store import Store

LIMIT_BYTES = 4 * 1024 * 1024
KEY = bytes(range(32))
CHUNKS = [(bytes([index]) * 32, bytes([index]) * 150_000) for index in range(8)]


def open_cache(folder: Path, *, boot_id: str = "boot one", key: bytes = KEY) -> BlockCache:
    return BlockCache.open(folder, device_key=key, limit_bytes=LIMIT_BYTES, boot_id=boot_id)


def die(cache: BlockCache) -> None:
    """Leave the files as a killed process does: committed, not marked clean."""
    cache._folder.close()


def filled(folder: Path) -> BlockCache:
    cache = open_cache(folder)
    assert cache.put_many("home", CHUNKS) == len(CHUNKS)
    return cache


def test_after_a_clean_close_everything_is_here_whatever_the_boot(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    cache.pin("home", [CHUNKS[0][0]])
    before = cache.stats()
    cache.close()

    again = open_cache(tmp_path, boot_id="boot two")

    assert again.opening is Opening.RESUMED
    assert [again.get("home", one) for one, _ in CHUNKS] == [plain for _, plain in CHUNKS]
    assert again.stats().used_bytes == before.used_bytes
    assert again.stats().pinned_bytes == before.pinned_bytes > 0
    again.close()


def test_the_order_of_use_survives(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    for one, _ in reversed(CHUNKS):
        cache.get("home", one)
    cache.close()

    again = open_cache(tmp_path)
    again.set_limit_bytes(again.stats().used_bytes // 2)
    again.maintain()

    here = again.contains_many("home", [one for one, _ in CHUNKS])
    assert here == {one for one, _ in CHUNKS[: len(here)]}
    assert 0 < len(here) < len(CHUNKS)
    again.close()


def test_an_unclean_machine_stop_empties_it(tmp_path: Path) -> None:
    die(filled(tmp_path))

    again = open_cache(tmp_path, boot_id="boot two")

    assert again.opening is Opening.EMPTIED_MACHINE_STOP
    assert again.contains_many("home", [one for one, _ in CHUNKS]) == set()
    assert again.stats().used_bytes == 0
    assert again.put_many("home", CHUNKS) == len(CHUNKS)
    again.close()


def test_a_machine_stop_in_a_later_opening_empties_it_too(tmp_path: Path) -> None:
    filled(tmp_path).close()
    die(open_cache(tmp_path))

    again = open_cache(tmp_path, boot_id="boot two")

    assert again.opening is Opening.EMPTIED_MACHINE_STOP
    again.close()


def test_another_device_key_empties_it(tmp_path: Path) -> None:
    filled(tmp_path).close()

    again = open_cache(tmp_path, key=bytes(32))

    assert again.opening is Opening.EMPTIED_OTHER_KEY
    assert again.get("home", CHUNKS[0][0]) is None
    again.close()


def test_nothing_readable_lies_on_the_disk(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    secret = b"a sentence that nobody else should read. " * 100
    cache.put_many("home", [(bytes(32), secret)])
    cache.put_value("home", b"manifest", secret)
    cache.close()

    for path in tmp_path.iterdir():
        assert secret[:16] not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0, path
    assert tmp_path.joinpath("data.mdb").stat().st_size > 8192


def test_a_dropped_view_leaves_no_key_on_the_disk(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    keys_before = (tmp_path / "keys").read_bytes()
    assert b"home" in keys_before

    cache.drop_view("home")

    assert set((tmp_path / "keys").read_bytes()) == {0}
    # And with the old database around, before anything of it is reclaimed:
    die(cache)
    again = open_cache(tmp_path)
    assert again.opening is Opening.RESUMED_AFTER_CRASH
    assert again.contains_many("home", [one for one, _ in CHUNKS]) == set()
    assert again.maintain().reclaimed_count == len(CHUNKS)
    assert again.stats().used_bytes == 0
    again.close()


def test_what_is_left_of_a_dropped_view_is_never_taken_for_another(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    cache.drop_view("home")
    die(cache)

    again = open_cache(tmp_path)
    assert again.put_many("home", CHUNKS[:2]) == 2
    assert again.put_many("other", CHUNKS[2:4]) == 2
    assert again.contains_many("home", [one for one, _ in CHUNKS]) == {CHUNKS[0][0], CHUNKS[1][0]}
    assert again.maintain().reclaimed_count == len(CHUNKS)

    assert again.stats().value_count == 4
    assert again.get("home", CHUNKS[1][0]) == CHUNKS[1][1]
    assert again.get("other", CHUNKS[3][0]) == CHUNKS[3][1]
    again.close()


@pytest.mark.parametrize("kept", [0, 1, 4095, 4096, 8191, 8192, 20_000, 500_000, -4096, -1])
def test_a_cut_off_database_starts_empty(tmp_path: Path, kept: int) -> None:
    filled(tmp_path).close()
    database = tmp_path / "data.mdb"
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.truncate(kept if kept >= 0 else size + kept)

    again = open_cache(tmp_path)

    assert again.opening is Opening.EMPTIED_DAMAGED
    assert again.get("home", CHUNKS[0][0]) is None
    assert again.put_many("home", CHUNKS) == len(CHUNKS)
    again.close()


READ_AND_WRITE_ALL = """
import sys
from pathlib import Path
from cache import BlockCache
cache = BlockCache.open(
    Path(sys.argv[1]), device_key=bytes(range(32)), limit_bytes=4 << 20, boot_id="boot one"
)
chunks = [(bytes([index]) * 32, bytes([index]) * 150_000) for index in range(8)]
for _ in range(3):
    for one, plain in chunks:
        assert cache.get("home", one) in (None, plain)
    cache.put_many("home", chunks)
    cache.maintain()
assert cache.get("home", chunks[0][0]) == chunks[0][1]
cache.close()
"""


@pytest.mark.parametrize("share", [0.005, 0.02, 0.1, 0.5, 0.9, 0.99])
def test_a_database_cut_off_after_a_crash_kills_nobody(tmp_path: Path, share: float) -> None:
    die(filled(tmp_path))
    database = tmp_path / "data.mdb"
    with database.open("r+b") as file:
        file.truncate(int(database.stat().st_size * share))

    # In a process of its own: what must not happen is SIGBUS or an abort.
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_WRITE_ALL, str(tmp_path)],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
    )

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", ["data.mdb", "mark", "keys"])
@pytest.mark.parametrize("garbage", [b"", b"garbage", bytes(8192), b"\xff" * 65536])
def test_garbage_for_a_file_is_survived(tmp_path: Path, name: str, garbage: bytes) -> None:
    filled(tmp_path).close()
    (tmp_path / name).write_bytes(garbage)

    again = open_cache(tmp_path)

    assert again.get("home", CHUNKS[0][0]) is None
    again.maintain()
    assert again.put_many("home", CHUNKS) == len(CHUNKS)
    assert again.get("home", CHUNKS[0][0]) == CHUNKS[0][1]
    again.close()


def test_one_bit_of_the_mark_empties_it_rather_than_being_believed(tmp_path: Path) -> None:
    filled(tmp_path).close()
    mark = tmp_path / "mark"
    intact = mark.read_bytes()
    flipped = bytearray(intact)
    flipped[20] ^= 1  # clean becomes unclean
    mark.write_bytes(flipped)

    again = open_cache(tmp_path)

    assert again.opening is Opening.EMPTIED_DAMAGED
    again.close()


def test_damage_of_a_value_is_a_miss_then_gone_then_replaced(tmp_path: Path) -> None:
    filled(tmp_path).close()
    store = Store.open(tmp_path, map_bytes=2 * LIMIT_BYTES)
    with store.reading() as transaction:
        victims = [(key, value) for key, value in transaction.scan(b"items") if CHUNKS[2][0] in key]
    key, value = victims[1]
    with store.writing() as transaction:
        transaction.put(b"items", key, value[:-1] + bytes([value[-1] ^ 1]))
    store.close()

    cache = open_cache(tmp_path)
    damaged, whole = CHUNKS[2]
    assert cache.read("home", damaged, 0, 4096) == whole[:4096]  # its frame is well
    assert cache.get("home", damaged) is None
    assert cache.stats().damaged_count == 1
    assert cache.contains_many("home", [damaged]) == set()

    assert cache.maintain().damaged_removed_count == 1
    assert cache.stats().value_count == len(CHUNKS) - 1
    assert cache.put_many("home", [CHUNKS[2]]) == 1
    assert cache.get("home", damaged) == whole
    cache.close()


def test_damage_is_replaced_by_a_put_before_upkeep(tmp_path: Path) -> None:
    filled(tmp_path).close()
    store = Store.open(tmp_path, map_bytes=2 * LIMIT_BYTES)
    with store.reading() as transaction:
        first, _ = next(transaction.scan(b"items"))
    with store.writing() as transaction:
        transaction.put(b"items", first, b"short")
    store.close()

    cache = open_cache(tmp_path)
    assert cache.get("home", CHUNKS[0][0]) is None
    assert cache.put_many("home", [CHUNKS[0]]) == 1
    assert cache.get("home", CHUNKS[0][0]) == CHUNKS[0][1]
    assert cache.maintain().damaged_removed_count == 0
    assert cache.get("home", CHUNKS[0][0]) == CHUNKS[0][1]
    cache.close()


@pytest.mark.parametrize("table", [b"totals", b"index", b"order"])
@pytest.mark.parametrize("row", [b"", b"short", bytes(12), bytes(24)])
def test_rows_that_make_no_sense_cost_no_more_than_the_content(
    tmp_path: Path, table: bytes, row: bytes
) -> None:
    filled(tmp_path).close()
    store = Store.open(tmp_path, map_bytes=2 * LIMIT_BYTES)
    with store.reading() as transaction:
        keys = [key for key, _ in transaction.scan(table)]
    with store.writing() as transaction:
        for key in keys:
            transaction.put(table, key, row)
    store.close()

    cache = open_cache(tmp_path)
    for _ in range(3):
        cache.set_limit_bytes(cache.stats().used_bytes // 2)
        cache.maintain()
        cache.set_limit_bytes(LIMIT_BYTES)
        for one, plain in CHUNKS:
            assert cache.get("home", one) in (None, plain)
        cache.remove_many("home", [CHUNKS[1][0]])
        cache.put_many("home", CHUNKS)
        cache.pin("home", [CHUNKS[2][0]])
        cache.unpin("home", [CHUNKS[2][0]])
    assert cache.get("home", CHUNKS[7][0]) == CHUNKS[7][1]
    cache.drop_view("home")
    cache.maintain()
    cache.close()


def test_a_cache_that_keeps_killing_its_process_starts_empty(tmp_path: Path) -> None:
    die(filled(tmp_path))
    openings = []
    for _ in range(SHORT_LIVED_COUNT_MAX + 1):
        cache = open_cache(tmp_path)
        openings.append(cache.opening)
        die(cache)

    assert openings == [Opening.RESUMED_AFTER_CRASH] * SHORT_LIVED_COUNT_MAX + [
        Opening.EMPTIED_CRASH_LOOP
    ]


def test_upkeep_shows_that_the_process_lives(tmp_path: Path) -> None:
    die(filled(tmp_path))
    for _ in range(2 * SHORT_LIVED_COUNT_MAX):
        cache = open_cache(tmp_path)
        assert cache.opening is Opening.RESUMED_AFTER_CRASH
        cache.maintain()
        die(cache)


def test_a_database_that_contradicts_itself_is_started_over(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    cache._condition.is_broken = True

    assert cache.get("home", CHUNKS[0][0]) is None
    assert cache.put_many("home", CHUNKS) == 0
    cache.maintain()

    assert cache.stats().used_bytes == 0
    assert cache.put_many("home", CHUNKS) == len(CHUNKS)
    assert cache.get("home", CHUNKS[0][0]) == CHUNKS[0][1]
    cache.close()
    again = open_cache(tmp_path)
    assert again.get("home", CHUNKS[0][0]) == CHUNKS[0][1]
    again.close()


def test_one_opening_at_a_time(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "cache")
    with pytest.raises(CacheInUse) as caught:
        open_cache(tmp_path / "cache")
    assert caught.value.path == tmp_path / "cache"
    assert caught.value.holder_pid > 0
    cache.close()
    open_cache(tmp_path / "cache").close()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(CacheUnusable) as caught:
            open_cache(folder)
        assert caught.value.path == folder
        assert caught.value.reason
