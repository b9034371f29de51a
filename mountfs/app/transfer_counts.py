"""How much went over the wire, and how much did not have to."""

import time

from mountfs.app.status import RateMeter, Transfers
from mountfs.blocks.encoder import SendStats
from mountfs.transport.traffic import Traffic


class TransferCounts:
    """Counts of one mount since it began."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._saved_by_delta_bytes = 0
        self._saved_by_dedup_bytes = 0
        self._saved_by_compression_bytes = 0
        self._up = RateMeter()
        self._down = RateMeter()

    def sent(self, stats: SendStats) -> None:
        """Add what sending one content cost and saved."""
        self._saved_by_delta_bytes += stats.delta_saved_bytes
        self._saved_by_dedup_bytes += stats.known_bytes
        self._saved_by_compression_bytes += stats.compression_saved_bytes

    def now(self) -> Transfers:
        """Return the counts, and the rates since they were asked for lately."""
        now_s = time.monotonic()
        up_bytes, down_bytes = self._traffic.up_bytes, self._traffic.down_bytes
        return Transfers(
            bytes_up=up_bytes,
            bytes_down=down_bytes,
            rate_up_bps=self._up.rate_bps(up_bytes, now_s=now_s),
            rate_down_bps=self._down.rate_bps(down_bytes, now_s=now_s),
            saved_by_delta_bytes=self._saved_by_delta_bytes,
            saved_by_dedup_bytes=self._saved_by_dedup_bytes,
            saved_by_compression_bytes=self._saved_by_compression_bytes,
        )
