"""What settles a conflict, as a table."""

import pytest

from mountfs.core.resolution import (
    Forget,
    Impossible,
    Keep,
    RemoveCopy,
    ReplaceOriginal,
    Side,
    Step,
    decide_resolution,
)

FILE, LINKED, FOLDER = Side(True, 1), Side(True, 2), Side(False, 1)


@pytest.mark.parametrize(
    ("keep", "copy", "original", "step"),
    [
        (Keep.COPY, FILE, FILE, ReplaceOriginal),
        (Keep.ORIGINAL, FILE, FILE, RemoveCopy),
        (Keep.BOTH, FILE, FILE, Forget),
        (Keep.COPY, LINKED, FILE, Impossible),
        (Keep.COPY, FILE, LINKED, Impossible),
        (Keep.ORIGINAL, LINKED, LINKED, RemoveCopy),
        (Keep.COPY, FOLDER, FILE, Impossible),
        (Keep.ORIGINAL, FOLDER, FILE, Impossible),
        (Keep.ORIGINAL, FILE, FOLDER, Impossible),
        (Keep.BOTH, FOLDER, FILE, Forget),
        (Keep.COPY, FILE, None, Impossible),
        (Keep.ORIGINAL, FILE, None, Impossible),
        (Keep.BOTH, FILE, None, Forget),
    ],
)
def test_what_is_done(keep: Keep, copy: Side, original: Side | None, step: type[Step]) -> None:
    found = decide_resolution(keep, copy=copy, original=original)
    assert isinstance(found, step)
    if isinstance(found, Impossible):
        assert "--keep-both" in found.remedy
