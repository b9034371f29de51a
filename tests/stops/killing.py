"""One stop: the client or the server is killed at one of its calls, and everything compared."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from harness.relay import is_listening
from harness.server import START_DEADLINE_S
from harness.waiting import wait_until
from stops.house import House
from stops.oracle import Moment, find_unlike
from stops.running import StepFailed, do_work, unmount
from stops.stopper import Counted, Party, Stop
from stops.stumbling import stumble
from stops.verdict import find_faults
from stops.work import Step


@dataclass(frozen=True)
class Outcome:
    """`counted.where` is empty if the run had fewer calls than the stop asked for."""

    counted: Counted
    step_count: int
    faults: list[str]


def stop_once(
    house: House,
    party: Party,
    stop: Stop | None,
    steps: Sequence[Step],
    moments: Sequence[Moment],
    again: Stop | None = None,
) -> Outcome:
    """Do the work with `party` stopped at `stop` (None: never), and return what is wrong then.

    `again`: it is stopped once more when it starts next.
    """
    stopper = house.stopper_of_client() if party is Party.CLIENT else house.stopper_of_server()
    extra = stopper.environment(stop=stop)
    try:
        if party is Party.CLIENT:
            count = _run_client(house, extra, steps)
        else:
            count = _run_server(house, extra, steps)
    except StepFailed as error:
        return Outcome(stopper.counted(), 0, [str(error)])
    counted = stopper.counted()
    if again is not None:
        stumble(house, party, again)
    faults = find_faults(house, lambda found: find_unlike(found, moments, steps, count))
    return Outcome(counted, count, faults)


def _run_client(house: House, extra: Mapping[str, str], steps: Sequence[Step]) -> int:
    house.start_server()
    if not house.start_laptop(extra):
        return 0
    count = do_work(house.laptop, steps)
    if count == len(steps):
        unmount(house.laptop)
    return count


def _run_server(house: House, extra: Mapping[str, str], steps: Sequence[Step]) -> int:
    with _brought_back(house, extra):
        assert house.start_laptop(), f"the mount ended\n{house.laptop.process.tail()}"
        count = do_work(house.laptop, steps)
        unmount(house.laptop)
        return count


@contextmanager
def _brought_back(house: House, extra: Mapping[str, str]) -> Iterator[None]:
    """Start the server with `extra`; whenever it is gone, start it as it is."""
    process = house.server.process
    process.env = {**process.env, **extra}
    process.start()
    is_over = threading.Event()

    def watch() -> None:
        process.wait(timeout_s=None)
        with suppress(AssertionError):  # it is killed again when the script gives up
            if not is_over.is_set():
                house.start_server()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        wait_until(
            lambda: is_listening(house.server.port),
            deadline_s=2 * START_DEADLINE_S,
            what="the server listens",
        )
        yield
    finally:
        is_over.set()
        if watcher.is_alive():
            process.kill()
        watcher.join()
