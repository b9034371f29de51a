"""What a drive lost of its past when its server came back from a backup."""

from typing import NamedTuple


class LostPast(NamedTuple):
    """Sequences from behind `kept_through` up to `resumed_at`: changes that a drive had once, and
    has no longer. None of them is any of now."""

    kept_through: int
    resumed_at: int

    def has(self, sequence: int) -> bool:
        """Whether a change was lost."""
        return self.kept_through < sequence <= self.resumed_at
