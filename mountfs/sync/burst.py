"""The changes made here since the last batch was planned: when they began, when the last one was.

Programs change files in bursts (unpacking, saving, building). A burst goes as one batch, when it
pauses or is old enough (`core.deferral`).
"""

from mountfs.core.deferral import burst_due_at_s


class Burst:
    """One drive's. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._is_open = False
        self._first_change_s = 0.0
        self._last_change_s = 0.0
        self._changes_count = 0

    def note(self, now_s: float) -> bool:
        """A change was made. Returns whether it is the first of a burst."""
        is_first = not self._is_open
        if is_first:
            self._is_open = True
            self._first_change_s = now_s
            self._changes_count = 0
        self._changes_count += 1
        self._last_change_s = now_s
        return is_first

    def expect(self) -> None:
        """Something may be sendable that was not when the last batch was planned."""
        self._is_open = True

    def close(self) -> None:
        """A batch is planned of all there is."""
        self._is_open = False

    def reopen(self, now_s: float, *, is_due: bool) -> None:
        """A batch was answered: what it had no room for, or set free, is a burst of its own."""
        if self._is_open:
            return
        self._is_open = True
        self._first_change_s = self._last_change_s = 0.0 if is_due else now_s

    def due_at_s(self) -> float | None:
        """Return when the burst is to be planned; None when there is none."""
        if not self._is_open:
            return None
        return burst_due_at_s(
            first_change_s=self._first_change_s,
            last_change_s=self._last_change_s,
            changes_count=self._changes_count,
        )
