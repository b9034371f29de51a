"""Where a mount writes its log: a rotated file in the state folder, and stderr in the foreground.

Logs name paths, sizes and errors; never content, passwords or tokens.
"""

import faulthandler
import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
FILES_KEPT: Final = 3

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_QUIET: Final = ("httpx", "httpcore", "pyfuse3")


def start_logging(log_file: Path, *, to_stderr: bool, is_verbose: bool = False) -> None:
    """Log to `log_file` from here on, in this process."""
    file = logging.handlers.RotatingFileHandler(
        log_file, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8", delay=False
    )
    log_file.chmod(0o600)
    handlers: list[logging.Handler] = [file]
    if to_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(
        level=logging.DEBUG if is_verbose else logging.INFO, format=_FORMAT, handlers=handlers
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    _join_structlog()
    # Where the threads were, should the interpreter die. The file stays open for that.
    faulthandler.enable(log_file.open("a"))


def _join_structlog() -> None:
    """Let what is logged as events with fields come out as lines of the same log."""
    import structlog

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
