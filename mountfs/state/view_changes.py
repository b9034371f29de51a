"""What `sync` changed in the tree that programs see; `vfs` tells the kernel.

The two rooms meet here: `sync` fills a `ViewChanges` while it applies a feed or plans a commit,
and hands it to whoever listens when the transaction is done.
"""

from dataclasses import dataclass, field

from mountfs.state.overlay import Source


@dataclass(slots=True)
class ViewChanges:
    """Collected facts; nodes and names, not inodes."""

    contents: set[int] = field(default_factory=set)
    """Nodes whose bytes are others now."""

    replaced: dict[int, Source] = field(default_factory=dict)
    """The committed content that nodes had before another device changed it."""

    merged: set[int] = field(default_factory=set)
    """Those of `contents` that are an edit of another device and ours, brought together here."""

    attributes: set[int] = field(default_factory=set)

    dentries: set[tuple[int, bytes]] = field(default_factory=set)
    """(parent, name) that lead elsewhere now."""

    removed: set[int] = field(default_factory=set)
    """Nodes that are gone for good."""

    is_layer_shown: bool = False
    """Much more changed at once: what the next mirror brings, which is shown now and told next."""

    def __bool__(self) -> bool:
        return bool(
            self.contents or self.attributes or self.dentries or self.removed or self.is_layer_shown
        )
