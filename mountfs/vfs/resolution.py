"""Settles a conflict as a person decided: in the words of any program, a rename or a removal."""

from backend_server.protocol.identity import ROOT_NODE
from mountfs.core.conflict_mark import NO_CONFLICT
from mountfs.core.resolution import (
    Forget,
    Impossible,
    Keep,
    RemoveCopy,
    ReplaceOriginal,
    Side,
    decide_resolution,
)
from mountfs.errors import SetupError
from mountfs.state.conflict_copies import ConflictCopy, conflict_copy_of
from mountfs.state.records import NodeRecord
from mountfs.state.store import StateStore
from mountfs.state.view_changes import ViewChanges
from mountfs.vfs.file_system import DriveFileSystem
from mountfs.vfs.interface import RenameFlags


def conflict_copy_at(state: StateStore, path: bytes) -> ConflictCopy:
    """Return the conflict copy at `path`, from the drive's root.

    Raises:
        SetupError: There is none.
    """
    node_id: int = ROOT_NODE
    for name in path.split(b"/"):
        node_id = state.tree.child(node_id, name) if node_id else 0
    found = conflict_copy_of(state, node_id)
    if found is None:
        raise SetupError("this is no conflict copy", remedy="`mountfs conflicts` lists them")
    return found


async def resolve_conflict(filesystem: DriveFileSystem, found: ConflictCopy, keep: Keep) -> None:
    """Settle a conflict.

    Raises:
        SetupError: It cannot be settled so, or not here.
    """
    if filesystem.is_read_only:
        raise SetupError(
            "the drive is mounted read-only", remedy="settle it where it is mounted without that"
        )
    state, original = filesystem.state, found.original
    step = decide_resolution(
        keep,
        copy=_side(state, found.copy),
        original=None if original is None else _side(state, original),
    )
    match step:
        case Impossible(reason, remedy):
            raise SetupError(reason, remedy=remedy)
        case Forget():
            with state.database.transaction():
                state.tree.set_attributes(found.copy.marked(NO_CONFLICT))
            filesystem.on_local_change()
        case RemoveCopy():
            await _remove(filesystem, found.copy)
        case ReplaceOriginal():
            assert original is not None
            await _replace(filesystem, found.copy, original)


async def _remove(filesystem: DriveFileSystem, copy: NodeRecord) -> None:
    places = filesystem.tree.places(copy.node_id)
    for parent, name in places:
        await filesystem.remove_file(filesystem.inode_of(parent), name)
    filesystem.apply_view_changes(ViewChanges(dentries=set(places)))


async def _replace(filesystem: DriveFileSystem, copy: NodeRecord, original: NodeRecord) -> None:
    ((parent, name),) = filesystem.tree.places(copy.node_id)
    ((to_parent, to_name),) = filesystem.tree.places(original.node_id)
    await filesystem.rename(
        filesystem.inode_of(parent), name, filesystem.inode_of(to_parent), to_name,
        RenameFlags.NONE,
    )  # fmt: skip
    # No program did this: the kernel has to be told.
    changed = {(parent, name), (to_parent, to_name)}
    filesystem.apply_view_changes(ViewChanges(dentries=changed))


def _side(state: StateStore, record: NodeRecord) -> Side:
    return Side(record.is_file, state.tree.names_count(record.node_id))
