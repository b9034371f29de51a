"""libfuse's own test of system calls, compiled from its source package."""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from strangers.program import last_words, run_program
from strangers.verdict import Case, Outcome

TIMEOUT_S: Final = 120.0
NOBODY: Final = 65534
_CASE: Final = re.compile(r"^ *\d+ \[(.*)\] (.*)$", re.MULTILINE)


class LibfuseSyscalls:
    name = "libfuse"
    about = "libfuse's test_syscalls, as this user and, by root, as an ordinary one"

    def __init__(self, sources: Path) -> None:
        self._sources = sources

    def _source(self) -> Path | None:
        return next(iter(sorted(self._sources.glob("fuse*/test/test_syscalls.c"))), None)

    def missing(self) -> str:
        if self._source() is None:
            return "apt-get source fuse3, and --sources where it was unpacked"
        return "" if shutil.which("cc") else "apt-get install gcc"

    def run(self, folder: Path, *, quick: bool) -> dict[str, Case]:
        source = self._source()
        assert source is not None
        cases: dict[str, Case] = {}
        with tempfile.TemporaryDirectory() as made:
            Path(made).chmod(0o755)
            program = Path(made) / "test_syscalls"
            # Meson makes this header; the test needs nothing of it.
            (Path(made) / "fuse_config.h").write_text("#define HAVE_STRUCT_STAT_ST_ATIM 1\n")
            built = run_program(
                [
                    *("cc", "-D_GNU_SOURCE", "-DHAVE_COPY_FILE_RANGE", f"-I{made}", "-w"),
                    *(f"-I{source.parent.parent / 'include'}", "-o", program, source),
                ],
                cwd=Path(made),
                timeout_s=TIMEOUT_S,
            )
            assert built.code == 0, built.out
            for who in (None, NOBODY) if os.geteuid() == 0 else (None,):
                here = folder / ("root" if who is None else "user")
                here.mkdir(mode=0o777)
                here.chmod(0o777)
                cases |= _run(program, here, who)
        return cases


def _run(program: Path, here: Path, who: int | None) -> dict[str, Case]:
    done = run_program([program, here], cwd=here, timeout_s=TIMEOUT_S, user=who)
    cases = {}
    for number, (what, said) in enumerate(_CASE.findall(done.out)):
        outcome = Outcome.PASSED if said.endswith("OK") else Outcome.FAILED
        cases[f"{here.name} {number} {what}"] = Case(outcome, said)
    ended = Outcome.PASSED if done.code == 0 else Outcome.FAILED
    return cases | {f"{here.name} as a whole": Case(ended, last_words(done.out))}
