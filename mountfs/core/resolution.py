"""What a person wants kept of a conflict, and what must be done for it: pure decisions."""

from enum import StrEnum
from typing import NamedTuple


class Keep(StrEnum):
    COPY = "copy"
    ORIGINAL = "original"
    BOTH = "both"


class Side(NamedTuple):
    """The copy, or what it is a copy of."""

    is_file: bool
    names_count: int


class ReplaceOriginal(NamedTuple):
    """Rename the copy over the original: its content becomes the original's next revision."""


class RemoveCopy(NamedTuple):
    """The original stays as it is."""


class Forget(NamedTuple):
    """Both stay, as files that have nothing to do with each other."""


class Impossible(NamedTuple):
    reason: str
    remedy: str


Step = ReplaceOriginal | RemoveCopy | Forget | Impossible

_BOTH = "`--keep-both` keeps the copy under its name"


def decide_resolution(keep: Keep, *, copy: Side, original: Side | None) -> Step:
    """Return what settles a conflict. Pure.

    Args:
        original: None if it was removed since.
    """
    if keep is Keep.BOTH:
        return Forget()
    if original is None:
        return Impossible("the original was removed", f"{_BOTH}; or remove it as any file")
    if not (copy.is_file and original.is_file):
        return Impossible("only files can take each other's place", f"move it by hand; {_BOTH}")
    if keep is Keep.ORIGINAL:
        return RemoveCopy()
    if copy.names_count != 1 or original.names_count != 1:
        return Impossible(
            "a file with several names cannot be replaced by renaming", f"copy its bytes; {_BOTH}"
        )
    return ReplaceOriginal()
