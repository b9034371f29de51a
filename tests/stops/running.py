"""Does the script on the laptop's mount, until it is through or the mount is gone."""

import subprocess
from collections.abc import Callable, Sequence
from typing import Final

from harness.mount import Mount
from stops import commands
from stops.work import Step, Sync

GONE_DEADLINE_S: Final = 10.0


class StepFailed(AssertionError):
    """A call failed though nobody was stopped."""


def do_work(
    mount: Mount, steps: Sequence[Step], *, on_returned: Callable[[], None] = lambda: None
) -> int:
    """Return how many steps returned. Fewer than all: the mount's process is gone, during the next.

    Raises:
        StepFailed: A step failed, and the mount is still there.
    """
    for count, step in enumerate(steps):
        try:
            _make(step, mount)
        except (OSError, AssertionError) as error:
            _wait_for_end(mount, f"step {count}, {step!r}: {error}")
            return count
        on_returned()
    return len(steps)


def unmount(mount: Mount) -> None:
    """Unmount as a person does; whoever stops on the way is gone in the end.

    Raises:
        StepFailed: It is refused.
    """
    if faults := commands.unmount(mount):
        _wait_for_end(mount, "\n".join(faults))


def _make(step: Step, mount: Mount) -> None:
    if isinstance(step, Sync):
        faults = commands.sync(mount)
        assert not faults, faults
    else:
        step.make(mount.path)


def _wait_for_end(mount: Mount, what: str) -> None:
    try:
        mount.process.wait(GONE_DEADLINE_S)
    except subprocess.TimeoutExpired:
        raise StepFailed(f"{what}\n{mount.process.tail()}") from None
