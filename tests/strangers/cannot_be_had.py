"""The cases that a mount cannot pass, with the reason. docs/POSIX.md says what programs see."""

from typing import Final

from strangers.verdict import Excuse

_TRUSTED: Final = "they first ask for a `trusted.` attribute, of which a mount has none"

EXCUSES: Final[tuple[Excuse, ...]] = (
    Excuse("cpython", "test.test_shutil.TestCopy.test_copy*xattr*", _TRUSTED),
)
