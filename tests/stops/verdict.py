"""After a stop or a power loss: start again, let everything settle, and compare."""

from collections.abc import Callable
from pathlib import Path

from harness.mount import ARRIVE_DEADLINE_S, Mount
from harness.trees import read_tree
from harness.waiting import DeadlinePassed, wait_until
from stops import commands
from stops.house import House
from stops.oracle import Moment, difference, read_colours

Judge = Callable[[Moment], list[str]]
"""Returns what is wrong with what a drive shows; empty: nothing."""


def read_moment(root: Path) -> Moment:
    """Return what the drive at `root` shows, read through ordinary calls."""
    contents = {
        str(path.relative_to(root)): (0, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    return Moment(read_tree(root, with_times=False), read_colours(root), contents)


def find_faults(house: House, judge: Judge) -> list[str]:
    """Return what is wrong with a house whose laptop is not mounted; empty: nothing.

    `judge` is asked about what the laptop shows first. Whatever it shows, the server, an empty
    cache and a new device must show the same. A laptop's mount that does not start is a fault.
    """
    if not house.server.process.is_running:
        house.start_server()
    if not house.start_laptop():
        return [f"the mount does not start\n{house.laptop.process.tail()}"]
    try:
        shown = read_moment(house.laptop.path)
    except OSError as error:
        return [f"after the restart {error}\n{house.laptop.process.tail()}"]
    faults = [f"after the restart: {fault}" for fault in judge(shown)]
    if faults:
        return faults
    faults += commands.sync(house.laptop)
    settled = read_moment(house.laptop.path)
    faults += [f"once more after the sync: {fault}" for fault in judge(settled)]
    faults += commands.unmount(house.laptop)
    if faults:
        return [*faults, house.laptop.process.tail()]
    faults += commands.check_client(house.laptop_state)
    house.empty_cache()
    assert house.start_laptop(), f"not with an empty cache\n{house.laptop.process.tail()}"
    house.fresh.start()
    for name, mount in (("an empty cache", house.laptop), ("a new device", house.fresh)):
        faults += [f"{name}: {fault}" for fault in _wait_for(settled, mount)]
        # They have nothing to send: SIGTERM unmounts as well, and needs no command.
        if code := mount.process.stop():
            faults.append(f"{name}: the mount ended with {code}\n{mount.process.tail()}")
    house.server.stop()
    faults += commands.check_server(house.server_data)
    for process in (house.laptop.process, house.fresh.process, house.server.process):
        faults += [f"in the log of {process.name}: {line}" for line in process.alarms()]
    return faults


def _wait_for(expected: Moment, mount: Mount) -> list[str]:
    """Return what still differs when everything should have come in."""
    last: list[str] = []

    def is_same() -> bool:
        last[:] = difference(expected, read_moment(mount.path))
        return not last

    try:
        wait_until(is_same, deadline_s=ARRIVE_DEADLINE_S, what="the drive is the same")
    except DeadlinePassed:
        return last
    return []
