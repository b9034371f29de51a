"""A tree of source files to work on: the same bytes on every machine and in every run."""

import os
import random
from pathlib import Path
from typing import Final

SEED: Final = 20
FOLDERS: Final = 12
FILES_PER_FOLDER: Final = 18
LONGEST_FILE_LINES: Final = 400
YEAR_2020_NS: Final = 1_577_836_800_000_000_000

_WORDS: Final = ("return", "value", "of", "the", "next", "block", "when", "every", "reader", "has")


def make_source_tree(root: Path, *, seed: int = SEED) -> None:
    """Make a tree like that of a program: nested folders, scripts, links, odd names, one big file.

    Modes and times are set as well, to nanoseconds, folders' included.
    """
    chance = random.Random(seed)
    root.mkdir(parents=True)
    folders = [root]
    for index in range(FOLDERS):
        folder = chance.choice(folders) / f"part{index}"
        folder.mkdir()
        folders.append(folder)
    for folder in folders:
        for index in range(FILES_PER_FOLDER):
            path = folder / f"module_{index}.py"
            path.write_text(_text(chance, chance.randrange(LONGEST_FILE_LINES)))
            path.chmod(0o755 if chance.random() < 0.1 else 0o644)
    (root / "empty").touch()
    (root / "empty-folder").mkdir()
    (root / "naïve – name with spaces & ünïcode.txt").write_text("named for people\n")
    (root / os.fsdecode(b"not-utf8-\xff\xfe")).write_bytes(b"\x00\x01")
    (root / ("long-" * 50)[:255]).write_text("long name\n")
    (root / "blob.bin").write_bytes(chance.randbytes(3_000_000))
    (root / "private").write_text("secret\n")
    (root / "private").chmod(0o600)
    (root / "to-a-file").symlink_to("module_0.py")
    (root / "to-a-folder").symlink_to("part0")
    (root / "to-nowhere").symlink_to("../no/such/place")
    (root / "second-name").hardlink_to(root / "module_1.py")
    _set_times(root, chance)


def _text(chance: random.Random, line_count: int) -> str:
    lines = (" ".join(chance.choices(_WORDS, k=chance.randrange(1, 14))) for _ in range(line_count))
    return "".join(f"    {line}\n" for line in lines)


def _set_times(root: Path, chance: random.Random) -> None:
    # Bottom up: a change inside a folder would stamp the folder again.
    for folder, folder_names, file_names in os.walk(root, topdown=False):
        for name in sorted(file_names + folder_names):
            stamp_ns = YEAR_2020_NS + chance.randrange(10**17)
            os.utime(Path(folder, name), ns=(stamp_ns, stamp_ns), follow_symlinks=False)
    os.utime(root, ns=(YEAR_2020_NS, YEAR_2020_NS))
