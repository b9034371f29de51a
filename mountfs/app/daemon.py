"""In the background: fork first, everything else later, and tell the parent how it went.

    parent                               child
    fork ──────────────────────────────► setsid, /, no terminal
    waits for a line                     builds and mounts; a dot every DOT_S while it does
    exits with the child's verdict ◄──── one line of JSON: mounted, or why not
                                         serves

Forking copies only the calling thread, so it comes before trio, threads, LMDB and SQLite.
"""

import json
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from mountfs.errors import MountError, SetupError

DOT_S: Final = 2.0
SILENCE_S: Final = 60.0
assert DOT_S * 10 < SILENCE_S
_LINE_BYTES_MAX: Final = 64 * 1024


class Verdict:
    """The child's end of the pipe to its parent; in the foreground there is no parent."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @property
    def is_given(self) -> bool:
        """Whether nobody waits for a verdict any more."""
        return self._descriptor is None

    def still_starting(self) -> None:
        """The parent may go on waiting."""
        self._write(b".")

    def mounted(self) -> None:
        """The parent may exit: programs can use the mount."""
        self._end({})

    def refused(self, error: MountError) -> None:
        """The parent shall say why."""
        self._end(
            {
                "kind": type(error).__name__,
                "message": str(error),
                "remedy": getattr(error, "remedy", ""),
            }
        )

    def _end(self, verdict: dict[str, str]) -> None:
        self._write(json.dumps(verdict).encode() + b"\n")
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, data: bytes) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, data)
        except BrokenPipeError:
            self._descriptor = None  # the parent was interrupted; we go on


def run_in_background(
    run: Callable[[Verdict], int], *, log_file: Path, decode: Callable[[dict[str, str]], MountError]
) -> None:
    """Fork; the child ends with what `run` returns, the parent returns when the child is ready.

    Args:
        run: Serves. Gives one verdict on its way.
        decode: Turns a refusal back into an error.

    Raises:
        MountError: The child's refusal.
        SetupError: The child died or fell silent without a verdict.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _become_daemon(run, writing)
    os.close(writing)
    with open(reading, "rb", buffering=0) as pipe:
        answer = _await_verdict(pipe.fileno())
    if answer is None:
        raise SetupError("the mount's process did not come up", remedy=f"see the log: {log_file}")
    if answer:
        raise decode(answer)


def _become_daemon(run: Callable[[Verdict], int], writing: int) -> NoReturn:
    code = 1
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.close(null)
        code = run(Verdict(writing))
    finally:
        # Not sys.exit: the parent's exit handlers and buffers are not ours to run.
        os._exit(code)


def _await_verdict(descriptor: int) -> dict[str, str] | None:
    """Return the verdict, {} for mounted, None when none came."""
    received = b""
    until = time.monotonic() + SILENCE_S
    while len(received) < _LINE_BYTES_MAX:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        piece = os.read(descriptor, 4096) if ready else b""
        if not piece:
            return None
        until = time.monotonic() + SILENCE_S
        received += piece
        if received.endswith(b"\n"):
            verdict: dict[str, str] = json.loads(received.lstrip(b"."))
            return verdict
    return None
