"""PostgreSQL on a folder, killed in the middle of its work: what it promised is there."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from harness.processes import Finished
from harness.waiting import wait_until
from strangers.program import last_words, run_program
from strangers.suites import case_of
from strangers.verdict import Case

USER: Final = "postgres"
"""The user of Debian's package; PostgreSQL refuses to run as root."""
STEP_TIMEOUT_S: Final = 180.0
RESTART_DEADLINE_S: Final = 60.0
_PROCESSED: Final = re.compile(r"transactions actually processed: (\d+)")
_SUMS: Final = """
    select count(*) >= {promised}
        and (select coalesce(sum(delta), 0) from pgbench_history)
            = all (array[(select sum(abalance) from pgbench_accounts),
                         (select sum(bbalance) from pgbench_branches),
                         (select sum(tbalance) from pgbench_tellers)])
    from pgbench_history
"""


class PostgreSql:
    name = "postgresql"
    about = "PostgreSQL: initdb, pgbench, kill -9 in the middle, recovery, pg_amcheck, checksums"

    def missing(self) -> str:
        if _programs() is None:
            return "apt-get install postgresql"
        return "" if os.geteuid() == 0 else "run as root, which may become its user"

    def run(self, folder: Path, *, quick: bool) -> dict[str, Case]:
        programs = _programs()
        assert programs is not None
        data = folder / "data"
        data.mkdir(mode=0o700)
        shutil.chown(data, USER, USER)
        return _live(programs, data, seconds=3 if quick else 10)


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_amcheck"))
    return found[-1].parent if found else None


def _live(programs: Path, data: Path, *, seconds: int) -> dict[str, Case]:
    cases: dict[str, Case] = {}

    def step(name: str, program: str, *words: str, wanted: str = "") -> bool:
        done = _run(programs, data, program, *words)
        is_fine = done.code == 0 and wanted in done.out
        cases[name] = case_of(0 if is_fine else 1, last_words(done.out))
        return is_fine

    # Its Unix socket is on the folder, too.
    start = (
        *("-D", str(data), "-w", "-l", str(data / "log")),
        *("-o", f"-k {data} -c listen_addresses=", "start"),
    )
    try:
        if not (
            step("initdb", "initdb", "-D", str(data), "--data-checksums", "-A", "trust")
            and step("start", "pg_ctl", *start)
            and step("fill", "pgbench", "-i", "-q", "-s", "1", "postgres")
        ):
            return cases
        promised = _work_until_killed(programs, data, seconds)
        wait_until(
            lambda: _run(programs, data, "pg_ctl", *start).code == 0,
            deadline_s=RESTART_DEADLINE_S,
            what="PostgreSQL recovers",
        )
        sums = _SUMS.format(promised=promised)
        step("what was committed is there", "psql", "-Atc", sums, "postgres", wanted="t")
        step("pg_amcheck", "pg_amcheck", "--all", "--install-missing", "--heapallindexed")
        step("vacuum", "vacuumdb", "--all", "--full", "--analyze", "-q")
        if step("stop", "pg_ctl", "-D", str(data), "-w", "stop"):
            step("checksums", "pg_checksums", "--check", "-D", str(data))
    finally:
        _run(programs, data, "pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    return cases


def _work_until_killed(programs: Path, data: Path, seconds: int) -> int:
    """Returns how many transactions the clients were told are durable."""
    load = subprocess.Popen(
        [programs / "pgbench", "-h", data, "-c", "4", "-T", str(2 * seconds), "postgres"],
        user=USER,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        time.sleep(seconds)  # work, not waiting
        os.kill(int((data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
        told, _ = load.communicate(timeout=STEP_TIMEOUT_S)
    finally:
        load.kill()
        load.wait()
    processed = _PROCESSED.search(told)
    assert processed is not None, told
    return int(processed[1])


def _run(programs: Path, data: Path, program: str, *words: str) -> Finished:
    return run_program(
        [programs / program, *words],
        cwd=data,
        env={"PGHOST": str(data), "PGCONNECT_TIMEOUT": "10"},
        timeout_s=STEP_TIMEOUT_S,
        user=USER,
    )
