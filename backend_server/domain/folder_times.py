"""When a folder was last changed: at the newest change of its dentries. Pure."""

from msgspec.structs import replace

from backend_server.domain.tree import Tree
from backend_server.domain.verdicts import NodeRecord


def touched_folder(
    tree: Tree, folder_id: int, *, ctime_ns: int, sequence: int
) -> NodeRecord | None:
    """Return the folder with the times of a change of its dentries, or None if it is newer. Pure.

    Times travel from the committer and never go back: an operation that was made before the
    folder's times were set (and arrives after, because an upload took long) leaves them alone.
    The attributes' version stays: this is no chmod, and conflicts with none.
    """
    folder = tree.nodes[folder_id]
    if ctime_ns <= folder.ctime_ns:
        return None
    return replace(folder, sequence=sequence, mtime_ns=ctime_ns, ctime_ns=ctime_ns)
