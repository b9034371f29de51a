"""Which manifests of a node this device has seen last: what deltas down are made against."""

from collections import OrderedDict
from typing import Final

from backend_server.protocol.identity import DriveId, ManifestId, NodeId
from mountfs.core.content import Manifest

_NODES_MAX: Final = 512
_ENTRIES_MAX: Final = 50_000


class OlderManifests:
    """The last two manifests of the nodes seen last."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[tuple[DriveId, NodeId], tuple[Manifest, ...]] = OrderedDict()
        self._entry_count = 0

    def note(self, drive_id: DriveId, node_id: NodeId, manifest: Manifest) -> None:
        """Remember that `node_id` has, or had, this content."""
        key = (drive_id, node_id)
        seen = self._nodes.pop(key, ())
        kept = [known for known in seen if known.manifest_id != manifest.manifest_id]
        now = (manifest, *kept[:1])
        self._entry_count += _entries(now) - _entries(seen)
        self._nodes[key] = now
        while len(self._nodes) > _NODES_MAX or (
            self._entry_count > _ENTRIES_MAX and len(self._nodes) > 1
        ):
            _, oldest = self._nodes.popitem(last=False)
            self._entry_count -= _entries(oldest)

    def other_than(
        self, drive_id: DriveId, node_id: NodeId, manifest_id: ManifestId
    ) -> Manifest | None:
        """Return the newest manifest of the node that is not `manifest_id`, None if none is."""
        for manifest in self._nodes.get((drive_id, node_id), ()):
            if manifest.manifest_id != manifest_id and manifest.entries:
                return manifest
        return None


def _entries(manifests: tuple[Manifest, ...]) -> int:
    return sum(len(manifest.entries) for manifest in manifests)
