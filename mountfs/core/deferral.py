"""When a change made here is sent.

Programs come in bursts: what is quiet for a moment is finished, and what was saved often just now
will be saved again. Waiting costs visibility elsewhere, sending too early costs bytes and splits
what belongs together (an editor removes a file and creates it again; tar makes ten thousand).
"""

from typing import Final

QUIET_S: Final = 0.06
"""Nothing changed for so long: the burst is over. Close-to-visible is this and two requests."""

BURST_MAX_S: Final = 1.5
"""A burst that does not end is sent in parts this far apart."""

OPEN_QUIET_S: Final = 2.0
"""A file that a program still has open for writing is sent after so long without a write."""

OPEN_MAX_S: Final = 15.0
"""And after so long in any case."""

VACATED_S: Final = 0.4
"""A removed name waits so long for a file that takes its place (unlink + create is a save)."""

_BURST_CHANGES: Final = 100
_BURST_QUIET_FACTOR_MAX: Final = 4.0
_FREQUENT_WINDOW_S: Final = 30.0
_FREQUENT_MAX_S: Final = 8.0
_REMEMBERED_MIN: Final = 4096
assert QUIET_S < BURST_MAX_S < OPEN_MAX_S


def content_due_at_s(
    *, first_change_s: float, last_change_s: float, is_open: bool, recent_sends: int
) -> float:
    """Return the moment from which a file's content may be frozen and sent. Pure.

    Args:
        recent_sends: How often this file was sent within the last half minute.
    """
    if is_open:
        return min(last_change_s + OPEN_QUIET_S, first_change_s + OPEN_MAX_S)
    quiet_s = QUIET_S
    if recent_sends > 1:
        quiet_s = min(QUIET_S * 2.0**recent_sends, _FREQUENT_MAX_S)
    return min(last_change_s + quiet_s, first_change_s + max(BURST_MAX_S, quiet_s))


def burst_due_at_s(*, first_change_s: float, last_change_s: float, changes_count: int) -> float:
    """Return the moment from which what waits may be sent together. Pure.

    A single save goes after QUIET_S; the longer a burst already is, the longer a pause must be to
    mean its end, for a program that unpacks an archive pauses too.
    """
    quiet_s = QUIET_S * min(1.0 + changes_count / _BURST_CHANGES, _BURST_QUIET_FACTOR_MAX)
    return min(last_change_s + quiet_s, first_change_s + BURST_MAX_S)


class SendHistory:
    """How often each file was sent lately. Holds twice what was sent within the window at most."""

    def __init__(self) -> None:
        self._sent_at: dict[int, list[float]] = {}
        self._drop_above = _REMEMBERED_MIN

    def recent_sends(self, node_id: int, now_s: float) -> int:
        return sum(now_s - at < _FREQUENT_WINDOW_S for at in self._sent_at.get(node_id, ()))

    def sent(self, node_id: int, now_s: float) -> None:
        recent = [at for at in self._sent_at.get(node_id, ()) if now_s - at < _FREQUENT_WINDOW_S]
        self._sent_at[node_id] = [*recent[-8:], now_s]
        if len(self._sent_at) > self._drop_above:
            self._sent_at = {
                node: times
                for node, times in self._sent_at.items()
                if now_s - times[-1] < _FREQUENT_WINDOW_S
            }
            # Not at each of thousands sent within the window: 6,000 took 1.2 s (profiled).
            self._drop_above = max(_REMEMBERED_MIN, 2 * len(self._sent_at))
