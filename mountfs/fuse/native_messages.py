"""What libfuse and fusermount3 have to say: they say it on standard error, which a daemon lacks."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_TEXT_BYTES_MAX: Final = 1000
_STDERR: Final = 2


class NativeMessages:
    """`text` is what was said, in one line; complete when the context has ended."""

    def __init__(self) -> None:
        self.text = ""


@contextmanager
def native_messages() -> Iterator[NativeMessages]:
    """Collect what this process and its children write to standard error inside.

    For a moment without other threads that write there.
    """
    said = NativeMessages()
    with tempfile.TemporaryFile() as file:
        before = os.dup(_STDERR)
        os.dup2(file.fileno(), _STDERR)
        try:
            yield said
        finally:
            os.dup2(before, _STDERR)
            os.close(before)
            file.seek(0)
            said.text = " ".join(file.read(_TEXT_BYTES_MAX).decode(errors="replace").split())
