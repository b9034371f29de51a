"""A drive's tree, held against its laws: what names lead where, and what has no name. Pure.

Rows come in batches, each with what the database knows about its neighbours, so that a drive of
a million nodes needs no more memory than a batch. Only whether every folder hangs on the root is a
question about all of them: `FolderParents` keeps 16 bytes a folder for it.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from backend_server.domain.findings import Finding, FindingKind
from backend_server.protocol.identity import ROOT_NODE
from backend_server.protocol.tree_messages import NodeKind


class DentryFacts(NamedTuple):
    """A live dentry, and the kinds of the nodes at its ends. None: there is no such row."""

    parent: int
    name: bytes
    node_id: int
    sequence: int
    parent_kind: int | None
    node_kind: int | None
    node_has_revisions: bool


class NodeFacts(NamedTuple):
    """A live node. `good_links`: its names in live folders."""

    node_id: int
    kind: int
    good_links: int


class FolderLink(NamedTuple):
    """A name of a folder, in a live folder, and when it was given."""

    parent: int
    name: bytes
    sequence: int


class DentryRepair(NamedTuple):
    """(parent, name) shall lead to `node_id`; 0: to nothing. As a change of its own."""

    parent: int
    name: bytes
    node_id: int


class TreeFault(NamedTuple):
    """A finding, and what sets it right: names to be taken away, a node to get one."""

    finding: Finding
    removed: tuple[DentryRepair, ...] = ()
    nameless: int = 0


def find_dentry_faults(drive_id: str, rows: Iterable[DentryFacts]) -> list[TreeFault]:
    """Return the names that lead from nowhere or to nowhere. Pure.

    A name that leads to a node whose row is gone, while its revisions are there, is kept: with a
    backup of the database its content can be had again.
    """
    faults = []
    for row in rows:
        is_target_live = row.node_kind not in (None, NodeKind.REMOVED)
        if is_target_live and row.parent_kind == NodeKind.FOLDER and row.node_id != ROOT_NODE:
            continue
        subject = f"{row.parent}/{_shown(row.name)}"
        is_repairable = True
        if not is_target_live:
            is_repairable = row.node_kind is not None or not row.node_has_revisions
            state = "is removed" if row.node_kind is not None else "is not there"
            kept = "" if is_repairable else " Its revisions are: restore the database."
            sentence = f"The name {subject} leads to node {row.node_id}, which {state}.{kept}"
            kind = FindingKind.DENTRY_DANGLING
        elif row.parent_kind != NodeKind.FOLDER:
            sentence = f"The name {subject} of node {row.node_id} is in no folder that exists."
            kind = FindingKind.PARENT_GONE
        else:
            sentence = f"The name {subject} leads to the top of the drive, which has no name."
            kind = FindingKind.FOLDER_LINKED_TWICE
        removed = (DentryRepair(row.parent, row.name, 0),) if is_repairable else ()
        finding = Finding(kind, drive_id, subject, sentence, is_repairable)
        faults.append(TreeFault(finding, removed))
    return faults


def find_node_faults(
    drive_id: str, rows: Iterable[NodeFacts], folder_links: Mapping[int, Sequence[FolderLink]]
) -> list[TreeFault]:
    """Return the nodes that have no name, and the folders that have several. Pure.

    Args:
        folder_links: The names, in live folders, of each folder among `rows` that has several.
    """
    faults = []
    for row in rows:
        if row.node_id == ROOT_NODE:
            continue
        subject = str(row.node_id)
        if row.good_links == 0:
            finding = Finding(
                FindingKind.NODE_WITHOUT_NAME,
                drive_id,
                subject,
                f"Node {row.node_id} ({_kind_name(row.kind)}) has no name in any "
                "folder, so nobody can see it.",
                True,
            )
            faults.append(TreeFault(finding, nameless=row.node_id))
        elif row.kind == NodeKind.FOLDER and row.good_links > 1:
            links = sorted(folder_links[row.node_id], key=lambda link: link.sequence)
            finding = Finding(
                FindingKind.FOLDER_LINKED_TWICE,
                drive_id,
                subject,
                f"The folder {row.node_id} has {row.good_links} names; a folder has one.",
                True,
            )
            removed = tuple(DentryRepair(link.parent, link.name, 0) for link in links[:-1])
            faults.append(TreeFault(finding, removed))
    return faults


_UNKNOWN: Final = 0
_ON_PATH: Final = 1
_DONE: Final = 2


@dataclass(slots=True)
class FolderParents:
    """Each folder's parent, compactly. Folders must be added in ascending order."""

    _folders: "array[int]" = field(default_factory=lambda: array("q"))
    _parents: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, folder_id: int, parent: int) -> None:
        """Say that `folder_id` has its name in `parent`."""
        assert not self._folders or self._folders[-1] < folder_id
        self._folders.append(folder_id)
        self._parents.append(parent)

    def cycles(self) -> list[list[int]]:
        """Return the folders of each cycle, the smallest first. Pure, linear time.

        Every other folder hangs on the root, or on one whose own name is gone, which is another
        finding.
        """
        marks = bytearray(len(self._folders))
        found = []
        for start in range(len(self._folders)):
            path: list[int] = []
            at: int | None = start
            while at is not None and marks[at] == _UNKNOWN:
                marks[at] = _ON_PATH
                path.append(at)
                at = self._index_of(self._parents[at])
            if at is not None and marks[at] == _ON_PATH:
                cycle = [self._folders[index] for index in path[path.index(at) :]]
                smallest = cycle.index(min(cycle))
                found.append(cycle[smallest:] + cycle[:smallest])
            for index in path:
                marks[index] = _DONE
        return found

    def _index_of(self, folder_id: int) -> int | None:
        index = bisect_left(self._folders, folder_id)
        if index < len(self._folders) and self._folders[index] == folder_id:
            return index
        return None


def cycle_fault(drive_id: str, cycle: Sequence[int], link: FolderLink) -> TreeFault:
    """Return the finding of one cycle, whose first folder has the name `link`. Pure.

    That name goes, and the folder gets one at the top; the others hang on it.
    """
    finding = Finding(
        FindingKind.FOLDER_CYCLE,
        drive_id,
        str(cycle[0]),
        f"The folder {cycle[0]} is inside itself ({len(cycle)} folders), so nobody can see it.",
        True,
    )
    return TreeFault(finding, (DentryRepair(link.parent, link.name, 0),), nameless=cycle[0])


def recovered_name(node_id: int, attempt: int = 0) -> bytes:
    """Return the name that a node without one gets at the top of its drive. Pure."""
    return b"recovered-%016x" % node_id + (b"-%d" % attempt if attempt else b"")


def _kind_name(kind: int) -> str:
    return NodeKind(kind).name.lower() if kind in set(NodeKind) else f"of unknown kind {kind}"


def _shown(name: bytes) -> str:
    return name.decode(errors="backslashreplace").encode("unicode_escape").decode("ascii")
