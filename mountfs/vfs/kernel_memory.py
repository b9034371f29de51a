"""What the kernel is told when others changed what it remembers."""

from mountfs.state.view_changes import ViewChanges
from mountfs.vfs.interface import Inode, KernelCache
from mountfs.vfs.view import View


def tell_kernel(view: View, kernel: KernelCache, changes: ViewChanges) -> None:
    """Let the kernel forget what changed without its doing. The tree is already as `changes` say.

    No checkpoint.
    """
    if changes.is_layer_shown:
        # Told one by one in a moment. Until then: who has a file open must not write over
        # bytes that it never saw; who opens one is told then (`_opened`).
        for inode in view.table.open_inodes():
            if view.state.mirror.layer_brings_content(view.node_of(Inode(inode))):
                view.table.content_changed(inode)
                kernel.invalidate_content(Inode(inode))
    for parent, name in changes.dentries:
        parent_inode = view.inode_of(parent)
        if view.table.is_known(parent_inode) or parent_inode == 1:
            kernel.invalidate_entry(parent_inode, name)
            kernel.invalidate_attributes(parent_inode)
    for node_id in changes.contents:
        inode = view.inode_of(node_id)
        view.table.content_changed(inode)
        if view.table.is_known(inode):
            kernel.invalidate_content(inode)
    for node_id in changes.attributes - changes.contents:
        inode = view.inode_of(node_id)
        if view.table.is_known(inode) or inode == 1:
            kernel.invalidate_attributes(inode)
    for node_id in changes.removed:
        view.let_go(Inode(view.state.inodes.inode_of(node_id)))
