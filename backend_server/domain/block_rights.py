"""Which blocks a caller may read. A `ChunkId` is a name, never a capability. Pure."""

from backend_server.domain.caller import View
from backend_server.protocol.identity import ROOT_NODE, NodeId, RevisionId


def may_read_revision(view: View, node_id: NodeId, revision: RevisionId) -> bool:
    """Whether chunks asked for as those of (node, revision) may be handed out. Pure.

    Who sees the whole drive may read all of its chunks, under whatever revision they ask. A view
    of a part of the drive may read nothing by chunk until its nodes are looked up.
    """
    return view.root_node == ROOT_NODE


def may_read_any_chunk(view: View) -> bool:
    """Whether every chunk of the drive is the caller's to read, as a delta's base is. Pure."""
    return view.root_node == ROOT_NODE
