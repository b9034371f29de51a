"""What a suite is, and all of them."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from strangers.verdict import Case, Cases, Outcome


class Suite(Protocol):
    """Somebody's tests of what a file system does.

    `name` is a word; `about` names the origin and what it goes through.
    """

    name: str
    about: str

    def missing(self) -> str:
        """Return how to get what is missing here; empty: nothing is."""
        ...

    def run(self, folder: Path, *, quick: bool) -> Cases:
        """Run everything in `folder`, an empty one. The same cases every time."""
        ...


def missing_programs(programs: Sequence[str], packages: str) -> str:
    """Return how to install `packages` (of Debian) if one of `programs` is not in the path."""
    absent = [name for name in programs if shutil.which(name) is None]
    return f"apt-get install {packages}" if absent else ""


def case_of(code: int, said: str) -> Case:
    """Return the case of a program that ended with `code`."""
    return Case(Outcome.PASSED if code == 0 else Outcome.FAILED, said)
