"""Which start of the machine this is. The one place that asks the kernel."""

from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def load_boot_id() -> str | None:
    """Return an id that changes with every start of the machine, None where there is none.

    Without one, only a clean close lets the next opening trust what it finds.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or None
    except OSError:
        return None
