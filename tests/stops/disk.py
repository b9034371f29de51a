"""What is on the disk of a machine that lost its power. Pure, but for reading what there was first.

The model is the strictest that POSIX permits, and stricter than any Linux file system in its
default mode:

- fsync(2) and fdatasync(2) of a file make its bytes and its size durable, as of when the call
  began. They do nothing for its name: "an explicit fsync() on a file descriptor for the directory
  is also needed" (fsync(2)). ext4 and XFS would bring the name of a new file along, since their
  journal keeps the order; nothing here may need that.
- A name (creating, link, unlink, rename) is durable when every folder that it concerns was synced
  afterwards. rename(2) is atomic.
- What was not synced may have reached the disk all the same, in any combination: each change of a
  name, and of each write each page of PAGE_BYTES, whatever came before or after it. This is what
  Pillai et al. found applications to trip over ("All File Systems Are Not Created Equal", OSDI '14,
  section 3: atomicity of appends and overwrites, ordering between any two operations).

Not modelled: sectors of a page that are torn (both databases checksum what they rely on), disks
that lie about having flushed, modes, owners and times.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from stops.recording import Record

PAGE_BYTES: Final = 4096
_TOP: Final = PurePosixPath()

Image = Mapping[PurePosixPath, bytes | None]
"""Path below the folder to a file's bytes; None is a folder. Folders before what is in them."""


@dataclass(eq=False)
class File:
    live: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list["_Edit"] = field(default_factory=list)
    """What was done and not synced, in order."""


@dataclass(frozen=True, slots=True)
class _Edit:
    """`data` None: the size becomes `offset`."""

    index: int
    offset: int
    data: bytes | None


@dataclass(eq=False)
class Folder:
    live: dict[str, "Node"] = field(default_factory=dict)
    durable: dict[str, "Node"] = field(default_factory=dict)


Node = File | Folder


@dataclass(eq=False)
class _NameChange:
    """Entries that change together; `waits_for` are the folders not synced since."""

    index: int
    entries: list[tuple[Folder, str, Node | None]]
    waits_for: set[Folder]


class Disk:
    """One folder, over time. Apply records in order; take images in between."""

    def __init__(self, before: Path, *, seen_as: Path) -> None:
        """What is in `before` is durable; records name it as `seen_as`."""
        self._root = seen_as
        self._top = Folder()
        self._names: list[_NameChange] = []
        self._syncs: dict[int, int] = {}
        self._index = 0
        _fill(self._top, before)

    def apply(self, record: Record) -> None:
        self._index += 1
        parts = record.path.relative_to(self._root).parts
        match record.what:
            case "W" | "T":
                self._edit(parts, record)
            case "B":
                self._syncs[record.token] = self._index
            case "E":
                self._synced(parts, self._syncs.pop(record.token))
            case "C":
                self._change([(*self._place(parts), File())])
            case "D":
                self._change([(*self._place(parts), Folder())])
            case "U":
                self._change([(*self._place(parts), None)])
            case "L":
                target = Path(record.other).relative_to(self._root).parts
                self._change([(*self._place(target), self._find(parts))])
            case "R":
                target = Path(record.other).relative_to(self._root).parts
                node = self._find(parts)
                self._change([(*self._place(parts), None), (*self._place(target), node)])
            case what:
                raise AssertionError(f"a record of kind {what!r} is not modelled")

    def image_of_all(self) -> Image:
        """Return what a process sees that starts now: nothing was lost."""
        return dict(_walk(self._top, lambda folder: folder.live, lambda file: bytes(file.live)))

    def image_of_synced(self) -> Image:
        """Return only what was synced."""
        return dict(
            _walk(self._top, lambda folder: folder.durable, lambda file: bytes(file.durable))
        )

    def image_of_some(self, chance: random.Random) -> Image:
        """Return what was synced, and of the rest what `chance` lets reach the disk."""
        share = chance.choice((0.1, 0.5, 0.9))
        entries: dict[Folder, dict[str, Node]] = {}
        for change in self._names:
            if chance.random() < share:
                for folder, name, node in change.entries:
                    _put(entries.setdefault(folder, dict(folder.durable)), name, node)
        contents: dict[File, bytes] = {}

        def content_of(file: File) -> bytes:
            if file not in contents:
                contents[file] = _some_of(file, chance, share)
            return contents[file]

        return dict(
            _walk(self._top, lambda folder: entries.get(folder, folder.durable), content_of)
        )

    # Inside ----------------------------------------------------------------------------------

    def _find(self, parts: Iterable[str]) -> Node | None:
        node: Node | None = self._top
        for part in parts:
            node = node.live.get(part) if isinstance(node, Folder) else None
        return node

    def _place(self, parts: tuple[str, ...]) -> tuple[Folder, str]:
        folder = self._find(parts[:-1])
        assert isinstance(folder, Folder), f"{parts} is in no known folder"
        return folder, parts[-1]

    def _edit(self, parts: tuple[str, ...], record: Record) -> None:
        file = self._find(parts)
        assert isinstance(file, File), f"{parts} was written, and never made"
        edit = _Edit(self._index, record.offset, record.data if record.what == "W" else None)
        _apply_edit(file.live, edit)
        if record.is_durable:
            _apply_edit(file.durable, edit)
        else:
            file.pending.append(edit)

    def _change(self, entries: list[tuple[Folder, str, Node | None]]) -> None:
        for folder, name, node in entries:
            _put(folder.live, name, node)
        waits_for = {folder for folder, _, _ in entries}
        self._names.append(_NameChange(self._index, entries, waits_for))

    def _synced(self, parts: tuple[str, ...], began: int) -> None:
        node = self._find(parts)
        if isinstance(node, File):
            done = [edit for edit in node.pending if edit.index < began]
            for edit in done:
                _apply_edit(node.durable, edit)
            node.pending = node.pending[len(done) :]
        elif isinstance(node, Folder):
            for change in self._names:
                if change.index < began:
                    change.waits_for.discard(node)
            for change in [change for change in self._names if not change.waits_for]:
                self._settle(change)

    def _settle(self, change: _NameChange) -> None:
        """Make `change` durable, and before it whatever changed the same names earlier."""
        if change not in self._names:
            return
        touched = {(folder, name) for folder, name, _ in change.entries}
        for earlier in list(self._names):
            if earlier is change:
                break
            if touched & {(folder, name) for folder, name, _ in earlier.entries}:
                self._settle(earlier)
        self._names.remove(change)
        for folder, name, node in change.entries:
            _put(folder.durable, name, node)


def write_image(image: Image, root: Path) -> None:
    """Put `image` into a new folder `root`."""
    root.mkdir(mode=0o700, parents=True)
    for path, content in image.items():
        if content is None:
            (root / path).mkdir(mode=0o700)
        else:
            (root / path).write_bytes(content)
            (root / path).chmod(0o600)


def _fill(folder: Folder, path: Path) -> None:
    for entry in sorted(path.iterdir()):
        node: Node
        if entry.is_dir():
            node = Folder()
            _fill(node, entry)
        elif entry.is_file():
            content = entry.read_bytes()
            node = File(bytearray(content), bytearray(content))
        else:
            continue  # a socket
        folder.live[entry.name] = folder.durable[entry.name] = node


def _put(entries: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        entries.pop(name, None)
    else:
        entries[name] = node


def _apply_edit(content: bytearray, edit: _Edit) -> None:
    if edit.data is None:
        del content[edit.offset :]
        content.extend(bytes(edit.offset - len(content)))
    else:
        content.extend(bytes(max(0, edit.offset - len(content))))
        content[edit.offset : edit.offset + len(edit.data)] = edit.data


def _some_of(file: File, chance: random.Random, share: float) -> bytes:
    content = bytearray(file.durable)
    for edit in file.pending:
        for part in _parts_of(edit):
            if chance.random() < share:
                _apply_edit(content, part)
    return bytes(content)


def _parts_of(edit: _Edit) -> Iterator[_Edit]:
    if edit.data is None:
        yield edit
        return
    start, end = edit.offset, edit.offset + len(edit.data)
    while start < end:
        until = min(end, (start // PAGE_BYTES + 1) * PAGE_BYTES)
        yield _Edit(edit.index, start, edit.data[start - edit.offset : until - edit.offset])
        start = until


def _walk(
    folder: Folder,
    entries_of: Callable[[Folder], Mapping[str, Node]],
    content_of: Callable[[File], bytes],
    above: PurePosixPath = _TOP,
) -> Iterator[tuple[PurePosixPath, bytes | None]]:
    for name, node in sorted(entries_of(folder).items()):
        path = above / name
        if isinstance(node, Folder):
            yield path, None
            yield from _walk(node, entries_of, content_of, path)
        else:
            yield path, content_of(node)
