"""Measurements for Prometheus. One registry an application: tests may have many."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from backend_server.blocks.block_store import ObjectFault

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Metrics:
    """Counts requests and what the block store did. Implements `blocks.metered.StoreMeter`."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "mountfs_http_requests",
            "Requests answered.",
            ("method", "path", "status"),
            registry=registry,
        )
        self._request_seconds = Histogram(
            "mountfs_http_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("method", "path"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._bytes = Counter(
            "mountfs_http_body_bytes",
            "Bytes of bodies.",
            ("direction", "path"),
            registry=registry,
        )
        self._active = Gauge(
            "mountfs_http_requests_active", "Requests being answered.", registry=registry
        )
        self._polls = Gauge("mountfs_polls_waiting", "Long polls waiting.", registry=registry)
        self._log_ins = Counter(
            "mountfs_log_ins", "Attempts to log in.", ("outcome",), registry=registry
        )
        self._store_calls = Counter(
            "mountfs_store_calls",
            "Calls of the block store.",
            ("call", "outcome"),
            registry=registry,
        )
        self._store_bytes = Counter(
            "mountfs_store_bytes", "Bytes of objects.", ("call",), registry=registry
        )
        self._store_seconds = Histogram(
            "mountfs_store_seconds",
            "Duration of calls of the block store.",
            ("call",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._store_faults = Counter(
            "mountfs_store_faults",
            "Objects that are missing or damaged.",
            ("fault",),
            registry=registry,
        )

    def request_began(self) -> None:
        """A request arrived."""
        self._active.inc()

    def request_ended(
        self,
        *,
        method: str,
        path: str,
        status: int,
        seconds: float,
        bytes_in: int,
        bytes_out: int,
    ) -> None:
        """A request was answered, or given up. `path` is the route's template."""
        self._active.dec()
        self._requests.labels(method, path, str(status)).inc()
        self._request_seconds.labels(method, path).observe(seconds)
        self._bytes.labels("in", path).inc(bytes_in)
        self._bytes.labels("out", path).inc(bytes_out)

    def log_in_ended(self, outcome: str) -> None:
        """Somebody tried to log in."""
        self._log_ins.labels(outcome).inc()

    def store_called(
        self, call: str, *, objects_count: int, size_bytes: int, seconds: float, failed: bool
    ) -> None:
        self._store_calls.labels(call, "failed" if failed else "ok").inc()
        self._store_bytes.labels(call).inc(size_bytes)
        self._store_seconds.labels(call).observe(seconds)

    def object_faulty(self, fault: ObjectFault) -> None:
        self._store_faults.labels(fault.value).inc()

    def watch_polls(self, count: Callable[[], float]) -> None:
        """Ask `count` for the number of waiting polls whenever somebody looks."""
        self._polls.set_function(count)

    def exposition(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)
