"""Which chunks a revision is made of: memory, then the cache, then the server, many at a time."""

from collections import OrderedDict
from typing import Final

import trio

from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.identity import DriveId, ManifestId, NodeId, RevisionId
from backend_server.protocol.limits import MANIFESTS_PER_FETCH_MAX
from backend_server.protocol.manifests import (
    EMPTY_MANIFEST,
    Entry,
    ManifestMalformed,
    apply_splice,
    manifest_id_of,
    pack_entries,
    unpack_entries,
)
from backend_server.protocol.transfer_messages import (
    ManifestAnswer,
    ManifestsRequest,
    ManifestWanted,
)
from mountfs.blocks.older import OlderManifests
from mountfs.blocks.store import ChunkStore
from mountfs.blocks.workers import Workers
from mountfs.core.content import Manifest
from mountfs.errors import Corruption, DeadlinePassed, MountError, Offline
from mountfs.transport.api import DriveApi
from mountfs.transport.refusals import refusal_of

LOAD_DEADLINE_S: Final = 10.0
MEMORY_ENTRIES_MAX: Final = 100_000
"""Some 20 MB: 205 bytes each, and 320 a manifest (measured), which counts as so many entries:"""
MANIFEST_AS_ENTRIES: Final = 2
_VALUE_PREFIX: Final = b"manifest "
# Unpacking and checking more takes longer than going to a thread and back.
_INLINE_ENTRIES_MAX: Final = 2_000
_REQUESTS_MAX: Final = 2

_Key = tuple[DriveId, ManifestId]


class _Flight:
    __slots__ = ("error", "have", "landed", "manifest", "node_id", "revision")

    def __init__(self, node_id: NodeId, revision: RevisionId, have: Manifest | None) -> None:
        self.node_id = node_id
        self.revision = revision
        self.have = have
        self.landed = trio.Event()
        self.manifest: Manifest | None = None
        self.error: MountError | None = None


class ManifestCatalog:
    """Loads manifests; each is verified against its id. `run` must run in a task.

    Flights belong to the catalog: cancelling one caller fails nobody else.
    """

    def __init__(
        self, api: DriveApi, store: ChunkStore, older: OlderManifests, workers: Workers
    ) -> None:
        self._api = api
        self._store = store
        self._older = older
        self._workers = workers
        self._memory: OrderedDict[_Key, Manifest] = OrderedDict()
        self._memory_entries = 0
        self._flights: dict[_Key, _Flight] = {}
        self._departing: OrderedDict[_Key, _Flight] = OrderedDict()
        self._request_count = 0
        self._wake = trio.Event()
        self._is_online = True

    def set_online(self, is_online: bool) -> None:
        """Tell whether the server is known to be out of reach: loading then fails at once."""
        self._is_online = is_online
        if not is_online:
            self._departing.clear()
            for key, flight in list(self._flights.items()):
                self._land(key, flight, None, Offline("offline"))

    def get(self, drive_id: DriveId, manifest_id: ManifestId, embedded: bytes) -> Manifest | None:
        """Return a manifest that is on this device, None if it is not.

        Raises:
            Corruption: `embedded` is not what `manifest_id` says.
        """
        if manifest_id == EMPTY_MANIFEST:
            return _EMPTY
        key = (drive_id, manifest_id)
        known = self._memory.get(key)
        if known is not None:
            self._memory.move_to_end(key)
            return known
        if embedded:
            manifest = _checked(manifest_id, _unpacked(embedded))
        else:
            packed = self._store.get_value(drive_id, _VALUE_PREFIX + manifest_id)
            if packed is None:
                return None
            manifest = Manifest(manifest_id, _unpacked(packed))
        self._remember(key, manifest)
        return manifest

    async def load(
        self,
        drive_id: DriveId,
        node_id: NodeId,
        revision: RevisionId,
        manifest_id: ManifestId,
        embedded_entries: bytes = b"",
    ) -> Manifest:
        """Return the manifest of a revision. Checkpoint only if the server is needed.

        Args:
            embedded_entries: Packed entries as the node's state has them; may be empty.

        Raises:
            Corruption: What the server sent, or what is embedded, is not this manifest.
            Offline, DeadlinePassed, RequestRefused, NotLoggedIn, ServerBusy
        """
        known = self.get(drive_id, manifest_id, embedded_entries)
        if known is None:
            with trio.move_on_after(LOAD_DEADLINE_S):
                known = await self._fetch(drive_id, node_id, revision, manifest_id)
            if known is None:
                raise DeadlinePassed(f"no manifest from the server within {LOAD_DEADLINE_S:.0f} s")
        self._older.note(drive_id, node_id, known)
        return known

    def holds(self, drive_id: DriveId, manifest_id: ManifestId) -> bool:
        """Whether this device has the manifest, so that the drive very likely knows it too."""
        return self.get(drive_id, manifest_id, b"") is not None

    def note(self, drive_id: DriveId, node_id: NodeId, manifest: Manifest) -> None:
        """Keep a manifest that was made here and that the server now knows."""
        if manifest.manifest_id == EMPTY_MANIFEST:
            return
        self._keep(drive_id, manifest, pack_entries(manifest.entries))
        self._older.note(drive_id, node_id, manifest)

    async def run(self) -> None:
        """Fetch what is asked for, until cancelled; what is under way then fails as Offline."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    while self._departing and self._request_count < _REQUESTS_MAX:
                        self._request_count += 1
                        nursery.start_soon(self._fly, self._take_batch())
                    await self._wake.wait()
                    self._wake = trio.Event()
        finally:
            for key, flight in list(self._flights.items()):
                self._land(key, flight, None, Offline("closing"))
            self._departing.clear()

    async def _fetch(
        self, drive_id: DriveId, node_id: NodeId, revision: RevisionId, manifest_id: ManifestId
    ) -> Manifest:
        key = (drive_id, manifest_id)
        # No await between lookup and insertion: this is what makes it one flight.
        flight = self._flights.get(key)
        if flight is None:
            if not self._is_online:
                raise Offline("offline")
            have = self._older.other_than(drive_id, node_id, manifest_id)
            flight = self._flights[key] = _Flight(node_id, revision, have)
            self._departing[key] = flight
            self._wake.set()
        await flight.landed.wait()
        if flight.error is not None:
            raise flight.error.with_traceback(None)
        assert flight.manifest is not None
        return flight.manifest

    def _take_batch(self) -> dict[_Key, _Flight]:
        batch: dict[_Key, _Flight] = {}
        drive_id: DriveId | None = None
        for key, flight in self._departing.items():
            if len(batch) == MANIFESTS_PER_FETCH_MAX:
                break
            if drive_id in (None, key[0]):
                drive_id = key[0]
                batch[key] = flight
        for key in batch:
            del self._departing[key]
        return batch

    async def _fly(self, batch: dict[_Key, _Flight]) -> None:
        drive_id = next(iter(batch))[0]
        wanted = [
            ManifestWanted(
                flight.node_id,
                flight.revision,
                manifest_id,
                flight.have.manifest_id if flight.have is not None else b"",
            )
            for (_, manifest_id), flight in batch.items()
        ]
        try:
            answer = await self._api.fetch_manifests(drive_id, ManifestsRequest(wanted))
            answers = {each.manifest_id: each for each in answer.manifests}
            for nth, (key, flight) in enumerate(batch.items()):
                if flight.landed.is_set():
                    continue
                one = answers.get(key[1])
                if one is not None and one.error == ErrorCode.TOO_LARGE and nth:
                    # Did not fit beside the others: goes again. The first always fits, so every
                    # request brings one home, whatever the server says.
                    self._departing[key] = flight
                    continue
                try:
                    manifest, packed = await self._open(key[1], flight, one)
                except MountError as error:
                    self._land(key, flight, None, error)
                else:
                    self._keep(drive_id, manifest, packed)
                    self._land(key, flight, manifest, None)
        except MountError as error:
            for key, flight in batch.items():
                self._land(key, flight, None, error)
        finally:
            self._request_count -= 1
            self._wake.set()

    async def _open(
        self, manifest_id: ManifestId, flight: _Flight, answer: ManifestAnswer | None
    ) -> tuple[Manifest, bytes]:
        """Return the manifest and its packed entries. Raises `Corruption`, or what is refused."""
        if answer is None:
            raise Corruption("the server left out a manifest it was asked for")
        if answer.error:
            raise _refusal(answer.error)
        size = len(answer.entries) // 40 if answer.splice is None else _INLINE_ENTRIES_MAX
        if flight.have is not None:
            size = max(size, len(flight.have.entries))
        if size <= _INLINE_ENTRIES_MAX:
            return _opened(manifest_id, flight.have, answer)
        return await self._workers.run(_opened, manifest_id, flight.have, answer)

    def _keep(self, drive_id: DriveId, manifest: Manifest, packed: bytes) -> None:
        self._remember((drive_id, manifest.manifest_id), manifest)
        self._store.put_value_nowait(drive_id, _VALUE_PREFIX + manifest.manifest_id, packed)

    def _remember(self, key: _Key, manifest: Manifest) -> None:
        if key in self._memory:
            return
        self._memory[key] = manifest
        self._memory_entries += _weight(manifest)
        while self._memory_entries > MEMORY_ENTRIES_MAX and len(self._memory) > 1:
            _, oldest = self._memory.popitem(last=False)
            self._memory_entries -= _weight(oldest)

    def _land(
        self, key: _Key, flight: _Flight, manifest: Manifest | None, error: MountError | None
    ) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        flight.manifest = manifest
        flight.error = error
        flight.landed.set()


_EMPTY: Final = Manifest(EMPTY_MANIFEST, ())


def _weight(manifest: Manifest) -> int:
    return len(manifest.entries) + MANIFEST_AS_ENTRIES


def _opened(
    manifest_id: ManifestId, have: Manifest | None, answer: ManifestAnswer
) -> tuple[Manifest, bytes]:
    if answer.splice is None:
        return _checked(manifest_id, _unpacked(answer.entries)), answer.entries
    if have is None or answer.splice.base_manifest != have.manifest_id:
        raise Corruption("a manifest told as a change of one that we do not have")
    try:
        entries = apply_splice(have.entries, answer.splice.replacements)
    except ManifestMalformed as error:
        raise Corruption(f"a manifest that cannot be read: {error}") from error
    return _checked(manifest_id, entries), pack_entries(entries)


def _unpacked(packed: bytes) -> list[Entry]:
    try:
        return unpack_entries(packed)
    except ManifestMalformed as error:
        raise Corruption(f"a manifest that cannot be read: {error}") from error


def _checked(manifest_id: ManifestId, entries: list[Entry]) -> Manifest:
    if manifest_id_of(entries) != manifest_id:
        raise Corruption("a manifest that is not what its id says")
    return Manifest(manifest_id, entries)


def _refusal(code: str) -> MountError:
    try:
        return refusal_of(ErrorCode(code), f"the server refuses a manifest: {code}")
    except ValueError:
        return Corruption(f"the server refuses a manifest: {code}")
