"""What a heavy user does in 24 hours, and how it is cut into rounds. Pure."""

import random
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final


class Task(Enum):
    """One thing that a program does; worth one operation, whatever system calls it takes."""

    SAVE = "save"
    """A new file is written and renamed over the old one, as editors do."""
    OVERWRITE = "overwrite"
    """open(O_TRUNC), write, close."""
    CREATE = "create"
    REMOVE = "remove"
    RENAME = "rename"
    APPEND = "append"
    PATCH = "patch"
    """Some bytes inside a file of a MiB, and an fsync now and then."""
    TRUNCATE = "truncate"
    READ = "read"
    LIST = "list"
    STAT_ALL = "stat all"
    SET_ATTRIBUTES = "set attributes"
    LINK = "link"
    SYMLINK = "symlink"
    FOLDER = "folder"
    """A folder with three files is made, moved, and removed."""
    UNLINK_OPEN = "unlink open"
    """A file is removed while it is open, and still written and read."""
    MAP = "map"
    BULK = "bulk"
    """A file of BULK_BYTES is written anew."""
    SHARED_LINE = "shared line"
    """A line at the end of a file that both devices write."""
    SHARED_TEXT = "shared text"
    """A line in the middle of a text that both devices write."""
    TRANSACTION = "transaction"
    GIT_COMMIT = "git commit"


BULK_BYTES: Final = 16 << 20

DAY: Final[Mapping[Task, int]] = {
    Task.SAVE: 12_000, Task.OVERWRITE: 8_000, Task.CREATE: 5_000, Task.REMOVE: 5_000,
    Task.RENAME: 5_000, Task.APPEND: 6_000, Task.PATCH: 2_000, Task.TRUNCATE: 500,
    Task.READ: 8_000, Task.LIST: 3_000, Task.STAT_ALL: 500, Task.SET_ATTRIBUTES: 2_000,
    Task.LINK: 500, Task.SYMLINK: 500, Task.FOLDER: 300, Task.UNLINK_OPEN: 200, Task.MAP: 200,
    Task.BULK: 100, Task.SHARED_LINE: 300, Task.SHARED_TEXT: 300, Task.TRANSACTION: 1_000,
    Task.GIT_COMMIT: 40,
}  # fmt: skip
"""Of both devices together: 20,000 saves, 10,000 removals and renames, some 2 GB written."""

ROUND_OPERATIONS: Final = 1_000
ROUNDS_MIN: Final = 4
"""A short run has short rounds."""


def plan_day(hours: float, seed: int, *, devices: int) -> Sequence[Sequence[Sequence[Task]]]:
    """Return rounds, in each of them a list of tasks for each device. Pure.

    Every kind comes in every stretch of the run as often as in the whole of it, as far as its
    number allows; a kind comes once at least.
    """
    assert hours > 0
    chance = random.Random(seed)
    counts = {task: max(1, round(count * hours / 24)) for task, count in DAY.items()}
    total = sum(counts.values())
    rounds_count = max(ROUNDS_MIN, total // ROUND_OPERATIONS)
    rounds: list[list[list[Task]]] = [[[] for _ in range(devices)] for _ in range(rounds_count)]
    for task, count in counts.items():
        # Evenly over the rounds, from a random one on, so that rare kinds do not come together.
        first = chance.random()
        for nth in range(count):
            number = int((first + nth / count) % 1 * rounds_count)
            chance.choice(rounds[number]).append(task)
    for one in rounds:
        for tasks in one:
            chance.shuffle(tasks)
    return rounds
