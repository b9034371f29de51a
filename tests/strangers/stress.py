"""stress-ng: one stressor of its file system class after the other, each verifying what it does."""

from pathlib import Path
from typing import Final

from strangers.program import last_words, run_program
from strangers.suites import missing_programs
from strangers.verdict import Case, Outcome

STRESSORS: Final = (
    *("access", "chattr", "chdir", "chmod", "chown", "copy-file", "dentry", "dir", "dirdeep"),
    *("dirmany", "dnotify", "fallocate", "fcntl", "fiemap", "file-ioctl", "filename", "flock"),
    *("fpunch", "fsize", "fstat", "getdent", "handle", "hdd", "inode-flags", "inotify", "iomix"),
    *("lease", "link", "locka", "lockf", "lockofd", "mknod", "mmap", "open", "rename", "seek"),
    *("sendfile", "splice", "symlink", "sync-file", "touch", "unlink", "utime", "verity", "xattr"),
    *("aio", "aiol", "chroot", "fault", "fifo", "io-uring", "madvise", "msync", "readahead"),
    *("revio", "sockabuse", "tmpfs", "vm-splice", "zero"),
)
"""Without those that have nothing to do with the folder they run in (procfs, eventfd …)."""
QUICK: Final = ("link", "rename", "symlink", "utime")
LENGTH_S: Final = 2
TIMEOUT_S: Final = 90.0
NOT_HERE: Final = (3, 4)
"""stress-ng(1), EXIT STATUS: not initialized for want of a resource, not implemented."""


class StressNg:
    name = "stress-ng"
    about = f"stress-ng --verify: {len(STRESSORS)} stressors, {LENGTH_S} s each"

    def missing(self) -> str:
        return missing_programs(["stress-ng"], "stress-ng")

    def run(self, folder: Path, *, quick: bool) -> dict[str, Case]:
        return {name: _run(name, folder) for name in (QUICK if quick else STRESSORS)}


def _run(stressor: str, folder: Path) -> Case:
    here = folder / stressor
    here.mkdir()
    here.chmod(0o777)
    done = run_program(
        [
            *("stress-ng", "--temp-path", here, "--verify", "--timeout", f"{LENGTH_S}s"),
            *("--no-rand-seed", f"--{stressor}", "2"),
        ],
        cwd=here,
        timeout_s=TIMEOUT_S,
    )
    if done.code in NOT_HERE:
        return Case(Outcome.SKIPPED, last_words(done.out))
    complaints = [line for line in done.out.splitlines() if "fail:" in line]
    is_fine = done.code == 0 and not complaints
    said = "\n".join(complaints[:5]) or last_words(done.out)
    return Case(Outcome.PASSED if is_fine else Outcome.FAILED, said)
