"""Programs that load a file system and check what they read: fio, dbench, bonnie++, postmark."""

from pathlib import Path
from typing import Final

from harness.processes import Finished
from strangers.program import last_words, run_program
from strangers.suites import case_of, missing_programs
from strangers.verdict import Case

TIMEOUT_S: Final = 240.0

_FIO_JOBS: Final = {
    "sequential": ["--rw=write", "--bs=128k", "--size=64m"],
    "random": ["--rw=randwrite", "--bs=4k", "--size=16m"],
    "odd sizes": ["--rw=randwrite", "--bsrange=1k-90k", "--bs_unaligned=1", "--size=8m"],
    "random with fsync": ["--rw=randwrite", "--bs=4k", "--size=4m", "--fsync=16"],
    "mixed, four jobs": ["--rw=randrw", "--bs=8k", "--size=4m", "--numjobs=4"],
    "shared map": ["--rw=randwrite", "--bs=4k", "--size=16m", "--ioengine=mmap"],
    "direct": ["--rw=randwrite", "--bs=4k", "--size=8m", "--direct=1"],
    "direct, asynchronous": [
        *("--rw=randwrite", "--bs=4k", "--size=8m", "--direct=1"),
        *("--ioengine=libaio", "--iodepth=16"),
    ],
    "O_SYNC": ["--rw=write", "--bs=4k", "--size=1m", "--sync=1"],
    "io_uring": ["--rw=randwrite", "--bs=4k", "--size=8m", "--ioengine=io_uring", "--iodepth=8"],
    "splice": ["--rw=write", "--bs=64k", "--size=8m", "--ioengine=splice"],
    "trimmed and written": ["--rw=randwrite", "--bs=4k", "--size=4m", "--fallocate=truncate"],
}
QUICK_JOBS: Final = ("random", "shared map")


class Fio:
    name = "fio"
    about = f"fio --verify=crc32c: {len(_FIO_JOBS)} ways to write and read back"

    def missing(self) -> str:
        return missing_programs(["fio"], "fio")

    def run(self, folder: Path, *, quick: bool) -> dict[str, Case]:
        return {name: _fio(name, folder) for name in (QUICK_JOBS if quick else _FIO_JOBS)}


def _fio(name: str, folder: Path) -> Case:
    here = folder / name.replace(",", "").replace(" ", "-")
    here.mkdir()
    return _case(
        run_program(
            [
                *("fio", "--name=job", f"--directory={here}", "--randseed=7", "--fallocate=none"),
                *("--verify=crc32c", "--verify_fatal=1", "--verify_backlog=64"),
                *_FIO_JOBS[name],
            ],
            cwd=here,
            timeout_s=TIMEOUT_S,
        )
    )


class Loads:
    name = "loads"
    about = "dbench, bonnie++ and postmark, which check what they find"

    def missing(self) -> str:
        return missing_programs(["dbench", "bonnie++", "postmark"], "dbench bonnie++ postmark")

    def run(self, folder: Path, *, quick: bool) -> dict[str, Case]:
        seconds = 2 if quick else 10
        return {
            "dbench": _case(
                run_program(
                    [
                        *("dbench", "-c", "/usr/share/dbench/client.txt"),
                        *("-D", folder, "-t", str(seconds), "4"),
                    ],
                    cwd=folder,
                    timeout_s=TIMEOUT_S,
                )
            ),
            "bonnie++": _case(
                run_program(
                    [
                        *("bonnie++", "-d", folder, "-s", "64M", "-r", "32M"),
                        *("-n", "1:10000:10:4", "-u", "root", "-q", "-f"),
                    ],
                    cwd=folder,
                    timeout_s=TIMEOUT_S,
                )
            ),
            "postmark": _case(
                run_program(
                    ["postmark"],
                    cwd=folder,
                    timeout_s=TIMEOUT_S,
                    stdin=f"set location {folder}\nset number {200 * seconds}\n"
                    f"set transactions {200 * seconds}\nset subdirectories 10\nrun\nquit\n",
                )
            ),
        }


def _case(done: Finished) -> Case:
    return case_of(done.code, last_words(done.out))
