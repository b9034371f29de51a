"""Which old chunk a new one is best told as a difference from. Pure.

A file that is rewritten whole (that is how nearly every editor saves) has lost its offsets. For
each of its unknown chunks the old chunk that it most likely came from is the one between the same
known neighbours; where none are known, the next one in the old order.
"""

from collections.abc import Mapping, Sequence

from backend_server.protocol.identity import ChunkId
from mountfs.core.content import Manifest


def places_of(manifest: Manifest) -> dict[ChunkId, int]:
    """Return where each chunk of `manifest` stands; for one that repeats, the first. Pure."""
    places: dict[ChunkId, int] = {}
    for index, entry in enumerate(manifest.entries):
        if not entry.is_hole:
            places.setdefault(entry.chunk_id, index)
    return places


def choose_delta_bases(
    new: Sequence[ChunkId],
    old: Manifest,
    places: Mapping[ChunkId, int],
    *,
    expected: int,
    end: int | None,
) -> tuple[list[int | None], int]:
    """Return for each chunk of `new` the entry of `old` to make a delta against. Pure.

    Chunks that `old` holds (`places`) need none, and tell where we are in it. A run of unknown
    chunks between two of them is matched to what lies between their places in `old`, in proportion,
    so that one chunk cut in two, or two joined, find the right one too.

    Args:
        new: Consecutive new chunks, in file order.
        expected: Entry of `old` at which `new` would go on, had nothing changed.
        end: Entry of `old` at which the file goes on behind `new`; None while that is not known.

    Returns:
        The entries, None where there is none, and the `expected` to give with the next chunks.
    """
    bases: list[int | None] = []
    run = 0
    for chunk_id in new:
        place = places.get(chunk_id)
        if place is None:
            run += 1
            continue
        bases += _match_run(run, expected, place, old)
        bases.append(None)
        run, expected = 0, place + 1
    if end is not None:
        bases += _match_run(run, expected, end, old)
    else:
        # Where the next known chunk stands is not known yet: go on one by one.
        bases += [_usable(old, expected + nth) for nth in range(run)]
    return bases, expected + run


def _match_run(run: int, first: int, end: int, old: Manifest) -> list[int | None]:
    count = end - first
    if count <= 0:
        # Nothing lay between: the neighbour in front is the best guess.
        return [_usable(old, first - 1)] * run
    if run == 1:
        longest = max(range(first, end), key=lambda index: old.entries[index].length)
        return [_usable(old, longest if count <= 4 else first)]
    return [_usable(old, first + nth * (count - 1) // (run - 1)) for nth in range(run)]


def _usable(old: Manifest, index: int) -> int | None:
    return index if 0 <= index < len(old.entries) and not old.entries[index].is_hole else None
