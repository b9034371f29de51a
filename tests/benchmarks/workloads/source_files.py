"""The source of a program: unpacked by tar, searched on another device, committed by git."""

import io
import random
import tarfile
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.sites import Site
from benchmarks.sizes import Sizes
from benchmarks.stopwatch import Stopwatch
from harness.programs import output_of

SEED: Final = 7
FILES_PER_FOLDER: Final = 20
WORD_COUNT: Final = 3000
LINES_MAX: Final = 400
"""Files of 0–400 lines of some 36 bytes: 7 KB in the mean, as source files are."""
WORD: Final = "the"
"""Letters that some of the files have somewhere, within or across words."""


def measure_source_files(site: Site, sizes: Sizes) -> Mapping[Figure, float]:
    folder = site.new_folder()
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        archive.write(_archive(sizes.source_count))
        archive.flush()
        watch = Stopwatch()
        output_of("tar", "-xf", archive.name, cwd=folder)
        to_return_s = watch.read_s()
        site.sync()
        to_durable_s = watch.read_s()
    site.stay()
    grep_cold_s, grep_again_s = _search_elsewhere(site, folder)
    output_of("git", "init", "--quiet", cwd=folder)
    site.sync()
    watch = Stopwatch()
    output_of("git", "add", "--all", cwd=folder)
    output_of("git", "commit", "--quiet", "--message", "everything", cwd=folder)
    commit_s = watch.read_s()
    site.stay()
    assert output_of("git", "status", "--porcelain", cwd=folder) == ""
    output_of("git", "fsck", "--strict", cwd=folder)
    return {
        figures.UNTAR_RETURN: to_return_s,
        figures.UNTAR_DURABLE: to_durable_s,
        figures.GREP_COLD: grep_cold_s,
        figures.GREP_AGAIN: grep_again_s,
        figures.GIT_COMMIT: commit_s,
    }


def _search_elsewhere(site: Site, folder: Path) -> tuple[float, float]:
    """Return how long a new device searches all files for a word, and how long again."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    wanted = _files_with_the_word(folder)
    assert 0 < len(wanted) < len(files), "a word that some of the files have"
    with site.elsewhere(files) as there:
        watch = Stopwatch()
        found = _files_with_the_word(there.seen(folder))
        cold_s = watch.read_s()
        again = _files_with_the_word(there.seen(folder))
        both_s = watch.read_s()
    assert found == again == wanted, "another device finds other files"
    return cold_s, both_s - cold_s


def _files_with_the_word(folder: Path) -> list[str]:
    return sorted(output_of("grep", "-rlF", WORD, ".", cwd=folder).splitlines())


@cache
def _archive(count: int) -> bytes:
    """Return a tar of `count` text files, the same in every run."""
    chance = random.Random(SEED)
    words = [
        "".join(chance.choices("etaoinshrdlu_", k=chance.randint(2, 9))) for _ in range(WORD_COUNT)
    ]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for index in range(count):
            text = _text(chance, words).encode()
            member = tarfile.TarInfo(str(Path(f"part{index // FILES_PER_FOLDER}", f"{index}.py")))
            member.size, member.mtime = len(text), 1_577_836_800
            archive.addfile(member, io.BytesIO(text))
    return packed.getvalue()


def _text(chance: random.Random, words: list[str]) -> str:
    return "".join(
        "    " + " ".join(chance.choices(words, k=chance.randint(1, 9))) + "\n"
        for _ in range(chance.randrange(LINES_MAX))
    )
