"""Logs: one JSON object a line, on stderr."""

import logging
import sys

import structlog


def set_up_logs(level: str) -> None:
    """Send all logs from `level` up to stderr. Tracebacks hold no values of variables."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # What libraries say goes the same way, and only when something is wrong.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
