"""What was changed here while somebody looks, slice by slice, at all that was changed before."""

from collections.abc import Iterator
from contextlib import contextmanager

from mountfs.state.mirror import Key


class RecentChanges:
    """Notes names and nodes only while they are `noted`. One thread: the event loop's."""

    def __init__(self) -> None:
        self.is_noted = False
        self._keys: set[Key] = set()
        self._nodes: set[int] = set()

    def __len__(self) -> int:
        return len(self._keys) + len(self._nodes)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what is changed inside. Bounded by what is changed meanwhile: not for long."""
        assert not self.is_noted
        self.is_noted = True
        try:
            yield
        finally:
            self.is_noted = False
            self._keys.clear()
            self._nodes.clear()

    def key(self, key: Key) -> None:
        """A dentry has a row that it did not have, or another one."""
        if self.is_noted:
            self._keys.add(key)

    def node(self, node_id: int) -> None:
        """A node has attributes, or content, from here that it did not have, or others."""
        if self.is_noted:
            self._nodes.add(node_id)

    def take(self, count: int) -> tuple[list[Key], list[int]]:
        """Return names and nodes that were noted, together at most `count`, and forget them."""
        keys = [self._keys.pop() for _ in range(min(count, len(self._keys)))]
        count -= len(keys)
        return keys, [self._nodes.pop() for _ in range(min(count, len(self._nodes)))]
