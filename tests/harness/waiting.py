"""Waiting for a fact with a deadline, never for a length of time."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.002
LONGEST_PAUSE_S: Final = 0.1


class DeadlinePassed(AssertionError):
    """What a test waited for did not happen in time."""


def wait_until(predicate: Callable[[], T], *, deadline_s: float, what: str) -> T:
    """Return the first truthy answer of `predicate`, asked again and again with growing pauses.

    Raises:
        DeadlinePassed: `deadline_s` seconds went by; the last answer is in the message.
    """
    gives_up_at = time.monotonic() + deadline_s
    pause_s = FIRST_PAUSE_S
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() >= gives_up_at:
            raise DeadlinePassed(f"not within {deadline_s:g} s: {what} (last answer: {answer!r})")
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
