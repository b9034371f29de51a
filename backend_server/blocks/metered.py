"""Wrapper: counts calls, bytes, seconds and faults of a store."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from backend_server.blocks.block_store import (
    BlockStore,
    ObjectFault,
    ObjectId,
    ObjectRef,
    SealedObject,
)
from backend_server.protocol.identity import DriveId


class StoreMeter(Protocol):
    """Receives what a store did. Called on the event loop; must not block."""

    def store_called(
        self, call: str, *, objects_count: int, size_bytes: int, seconds: float, failed: bool
    ) -> None:
        """One call ended. `size_bytes` are those of objects written or handed out."""
        ...

    def object_faulty(self, fault: ObjectFault) -> None:
        """An object was asked for and is missing or damaged."""
        ...


class MeteredStore:
    """Tells `meter` what each call cost."""

    def __init__(
        self, inner: BlockStore, meter: StoreMeter, *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._meter = meter
        self._clock_s = clock_s

    async def put_many(self, objects: Sequence[SealedObject]) -> None:
        with self._call("put", len(objects)) as sizes:
            await self._inner.put_many(objects)
            sizes.extend(len(item.sealed) for item in objects)

    async def get_many(self, refs: Sequence[ObjectRef]) -> list[bytes | ObjectFault]:
        with self._call("get", len(refs)) as sizes:
            found = await self._inner.get_many(refs)
            for item in found:
                if isinstance(item, ObjectFault):
                    self._meter.object_faulty(item)
                else:
                    sizes.append(len(item))
        return found

    async def delete(self, object_ids: Sequence[ObjectId]) -> None:
        with self._call("delete", len(object_ids)):
            await self._inner.delete(object_ids)

    def list_ids(self, drive_id: DriveId) -> AsyncIterator[ObjectId]:
        return self._inner.list_ids(drive_id)

    async def check_ready(self) -> None:
        await self._inner.check_ready()

    async def aclose(self) -> None:
        await self._inner.aclose()

    @contextmanager
    def _call(self, call: str, objects_count: int) -> Iterator[list[int]]:
        sizes: list[int] = []
        started_s = self._clock_s()
        failed = True
        try:
            yield sizes
            failed = False
        finally:
            self._meter.store_called(
                call,
                objects_count=objects_count,
                size_bytes=sum(sizes),
                seconds=self._clock_s() - started_s,
                failed=failed,
            )
