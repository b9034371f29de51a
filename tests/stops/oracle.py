"""What the steps leave on a plain folder, after each of them, and what a drive may show then."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from harness.trees import Tree, differences, read_tree
from stops.work import PIECE_BYTES, Fsync, SetAttribute, Step, Sync, Write

ATTRIBUTE: Final = "user.colour"


@dataclass(frozen=True)
class Moment:
    """What there is between two steps.

    `contents` maps a file's path to which file it is, told apart for good, and its bytes.
    """

    tree: Tree
    colours: dict[str, bytes]
    contents: dict[str, tuple[int, bytes]] = field(repr=False)


@dataclass
class Oracle:
    """A plain folder that follows the script. `moments[n]` is before step n."""

    root: Path
    moments: list[Moment] = field(default_factory=list)
    _colours: dict[str, bytes] = field(default_factory=dict)
    _held: dict[int, int] = field(default_factory=dict)

    def begin(self) -> None:
        self.moments.append(self._read())

    def make(self, step: Step) -> None:
        if isinstance(step, SetAttribute):
            # Kept here: not every plain folder can.
            self._colours = self._colours | {step.path: step.content}
        else:
            step.make(self.root)
        self.moments.append(self._read())

    def close(self) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def _read(self) -> Moment:
        contents = {}
        before = self.moments[-1].contents if self.moments else {}
        for path in sorted(self.root.rglob("*")):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                continue
            # Held open, a file that is removed keeps its number from others.
            if found.st_ino not in self._held:
                self._held[found.st_ino] = os.open(path, os.O_RDONLY)
            below = str(path.relative_to(self.root))
            content = path.read_bytes()
            old = before.get(below)
            contents[below] = (found.st_ino, old[1] if old and old[1] == content else content)
        return Moment(read_tree(self.root, with_times=False), self._colours, contents)


def read_colours(root: Path) -> dict[str, bytes]:
    """Return the ATTRIBUTE of each file below `root` that has one."""
    found = {}
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and ATTRIBUTE in os.listxattr(path):
            found[str(path.relative_to(root))] = os.getxattr(path, ATTRIBUTE)
    return found


def difference(expected: Moment, found: Moment) -> list[str]:
    """Return what differs, colours too. Pure."""
    lines = differences(expected.tree, found.tree)
    if expected.colours != found.colours:
        lines.append(f"colours: expected {expected.colours}, found {found.colours}")
    return lines


def find_unlike(
    found: Moment, moments: Sequence[Moment], steps: Sequence[Step], count: int
) -> list[str]:
    """Return what a drive shows that it may not show after `count` steps returned, and nothing was
    lost; empty: nothing. Pure.

    The step behind them is in the air: done or not, and a write perhaps in part, as on a local
    disk: the kernel hands long ones on in several requests, and bytes that were staged before are
    written over in place.
    """
    before, after = moments[count], moments[min(count + 1, len(steps))]
    lines = min(difference(before, found), difference(after, found), key=len)
    step = steps[count] if count < len(steps) else None
    if not lines or not isinstance(step, Write):
        return lines
    file = before.contents[step.path][0]
    tree = dict(found.tree)
    for path, (each, content) in before.contents.items():
        if each == file and path in found.contents:
            if not _is_part(found.contents[path][1], content, after.contents[path][1]):
                return lines
            tree[path] = after.tree[path]
    return difference(after, replace(found, tree=tree))


def find_unlawful(found: Moment, moments: Sequence[Moment], steps: Sequence[Step]) -> list[str]:
    """Return what a drive shows after a power loss that it may not show; empty: nothing. Pure.

    Args:
        found: What it shows; the numbers in its `contents` mean nothing.
        moments: Before each of `steps`, and behind the last one.
        steps: What was done; the last one may not have returned.

    A step is promised for good by a later `Sync`. An `Fsync` promises the content of its file, and
    all names and attributes of before it. What was not promised may be there or not, but:

    - each name is what it was at some moment since the promise;
    - each file's content is, byte by byte, one that this very file had since its promise, zero
      where it had none yet, and of a size that it had, or that a write was taking it to;
    - a file that was there all that time, under whatever name, is there.

    Conflict copies are extra: they hold what someone wrote.
    """
    shown = {path for path in found.tree if not _is_copy(path)}
    allowed = moments[_last_promise(steps) :]
    faults = []
    for path in sorted(shown.union(*(moment.tree for moment in allowed))):
        if all(_name_of(found, path) != _name_of(moment, path) for moment in allowed):
            may_be = {_name_of(moment, path) for moment in allowed}
            faults.append(f"{path!r} is {_name_of(found, path)}, may be {may_be}")
    versions = {file: _versions_of(file, moments, steps) for file in _files_of(allowed)}
    seen: set[int] = set()
    for path, (_, content) in found.contents.items():
        if _is_copy(path):
            continue
        candidates = {m.contents[path][0] for m in allowed if path in m.contents}
        fitting = {file for file in candidates if _is_mix(content, versions[file])}
        seen |= fitting
        if not fitting:
            faults.append(f"{path!r} has {len(content)} bytes that were never its content")
    steady = set.intersection(*({file for file, _ in m.contents.values()} for m in allowed))
    for file in steady - seen:
        paths = {path for m in allowed for path, (one, _) in m.contents.items() if one == file}
        faults.append(f"the file {sorted(paths)} is gone")
    return faults


def _is_copy(path: str) -> bool:
    return " (conflict of " in path


def _name_of(moment: Moment, path: str) -> tuple[str, int] | None:
    entry = moment.tree.get(path)
    return None if entry is None else (entry.kind, entry.mode)


def _files_of(moments: Sequence[Moment]) -> set[int]:
    return {file for moment in moments for file, _ in moment.contents.values()}


def _last_promise(steps: Sequence[Step]) -> int:
    """Return the index of the newest moment whose names were promised for good. Pure."""
    for index in range(len(steps) - 2, -1, -1):
        if isinstance(steps[index], Sync | Fsync):
            return index
    return 0


def _versions_of(file: int, moments: Sequence[Moment], steps: Sequence[Step]) -> list[bytes]:
    """Return the contents of one file since it was promised, oldest first. Pure."""
    versions: list[bytes] = []
    for index, moment in enumerate(moments):
        content = next((each for one, each in moment.contents.values() if one == file), None)
        if content is None:
            continue
        if not versions or versions[-1] is not content:
            versions.append(content)
        if 0 < index < len(moments) - 1:
            step = steps[index - 1]
            is_fsync = isinstance(step, Fsync) and file == moment.contents.get(step.path, (0,))[0]
            if is_fsync or isinstance(step, Sync):
                versions = versions[-1:]
    return versions


def _is_part(content: bytes, before: bytes, after: bytes) -> bool:
    """Whether `content` is what a write made of `before`, done in part. Pure."""
    grown = len(before)
    is_between = grown <= len(content) <= len(after)
    return (
        is_between
        and content[grown:] == after[grown : len(content)]
        and _is_mix(content[:grown], [before, after[:grown]])
    )


def _is_mix(content: bytes, versions: Sequence[bytes]) -> bool:
    """Whether each byte is that of one version, zero where one had none yet, and the size one that
    the file had, or was on its way to. Pure."""
    sizes = [len(version) for version in versions]
    growths = pairwise(sizes)
    if len(content) not in sizes and not any(old < len(content) < new for old, new in growths):
        return False
    if content in versions:
        return True
    for start in range(0, len(content), PIECE_BYTES):
        piece = content[start : start + PIECE_BYTES]
        others = [v[start : start + PIECE_BYTES].ljust(len(piece), b"\0") for v in versions]
        if any(other[: len(piece)] == piece for other in others):
            continue
        if any(byte not in column for byte, *column in zip(piece, *others, strict=False)):
            return False
    return True
