"""What libfuse, fusermount3 and pyfuse3 have to say: the first two say it on standard error, which
a daemon lacks."""

import errno
import logging
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


class WithoutAnswersToNobody(logging.Filter):
    """For pyfuse3's log: whoever was killed while it waited takes no answer, and that is no error.

    pyfuse3 logs each as one: "fuse_read(): fuse_reply_* failed with No such file or directory".
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not ("fuse_reply" in message and message.endswith(os.strerror(errno.ENOENT)))
