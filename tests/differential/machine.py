"""Random calls, made on a local folder and on a mount; answers and everything in them compared."""

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from differential import calls
from differential.actors import Actor, User
from differential.calls import Call, Long
from differential.snapshot import Fact, Times, snapshot, wait_for_the_next_tick

USERS: Final = (User(0, (0,)), User(1001, (1001, 2000)), User(1002, (1002, 2000)))

NAMES: Final = ("a", "b", "c", "a/a", "a/b", "b/a", "b/b/a", "a/b/c", "c/a")
STRANGE_NAMES: Final = (
    ".", "a/..", "a/.", "c/", "a/b/", Long("n", 255), Long("n", 256), Long("é", 128), "",
    Long("a/../", 800), Long("a/../", 820), "a b\n\x7f", "a/../b",
)  # fmt: skip

paths = st.one_of(
    *[st.sampled_from(NAMES)] * 3, st.sampled_from(STRANGE_NAMES)
)  # fmt: skip
handles = st.sampled_from(("h", "i", "j"))
actors = st.sampled_from((0, 0, 0, 1, 1, 2))
modes = st.sampled_from(
    (0o644, 0o755, 0o777, 0o600, 0o000, 0o4755, 0o2755, 0o6777, 0o1777, 0o2775, 0o070, 0o007, 0o200)
)
sizes = st.sampled_from((0, 1, 100, 4095, 4096, 4097, 70_000, 300_000))
offsets = st.sampled_from((0, 1, 50, 4096, 10_000, 65_536, 250_000))
owners = st.sampled_from((-1, 0, 1001, 1002, 2000))
open_flags = st.builds(
    lambda access, others: access | sum(others),
    st.sampled_from((os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR)),
    st.sets(
        st.sampled_from(
            (
                os.O_CREAT, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_NOFOLLOW,
                os.O_DIRECTORY, os.O_SYNC, os.O_DSYNC, os.O_NONBLOCK,
            )
        )
    ).map(sorted),
)  # fmt: skip
times_ns = st.one_of(
    st.none(),
    st.tuples(*[st.sampled_from((0, 1, 86_400_000_000_001, 999_999_999_999_999_999))] * 2),
)

xattr_names = st.sampled_from(("user.a", "user.b", "user." + "n" * 250, "user.", "nothing"))

_A_FIFO_WOULD_WAIT: Final = os.O_NONBLOCK


def is_same(expected: Fact, found: Fact) -> bool:
    """Whether both are the same to a program.

    An access time need only be what a program set: a read that the kernel answers from its own
    memory reaches no file system behind FUSE, and whether the next read moves a time depends on
    how fine the local one's clock is.
    """
    if expected[:3] != found[:3] or expected.times[1:] != found.times[1:]:
        return False
    is_set = isinstance(expected.times[0], int)
    return expected.times[0] == found.times[0] or not is_set


@dataclass
class Site:
    """One folder and its actors."""

    name: str
    top: Path
    actors: list[Actor]
    root: Path = field(init=False)
    _run: Path = field(init=False)
    times: Times = field(init=False)

    def begin(self, number: int) -> None:
        """Go to a new empty folder, that everybody may write."""
        self._run = self.top / f"run-{number}"
        self.root = self._run / "around" / "root"  # links to ".." lead around, and no further
        self.root.mkdir(parents=True)
        self.root.chmod(0o777)
        self.times = Times()
        for actor in self.actors:
            actor.enter(self.root)

    def end(self) -> None:
        for actor in self.actors:
            actor.enter(self.top)
        shutil.rmtree(self._run)


def what_is_known_to_differ(call: Call, expected: object, found: object) -> bool:
    """Whether the difference is one of those that docs/POSIX.md lists."""
    return False


class SameAsLocal(RuleBasedStateMachine):
    """Subclasses give `sites`: the oracle first."""

    sites: tuple[Site, Site]
    before_each: Callable[[], None] = staticmethod(lambda: None)
    _runs_count = 0

    @initialize()
    def begin(self) -> None:
        self.before_each()
        SameAsLocal._runs_count += 1
        for site in self.sites:
            site.begin(SameAsLocal._runs_count)
        self._compare("begin")

    def teardown(self) -> None:
        for site in self.sites:
            site.end()

    def _both(self, actor: int, call: Call) -> None:
        wait_for_the_next_tick()
        for site in self.sites:
            site.times.step += 1
        expected, found = [site.actors[actor].make(call) for site in self.sites]
        assert found == expected or what_is_known_to_differ(call, expected, found), (
            f"{call} of user {USERS[actor].uid}: expected {expected!r}, found {found!r}"
        )
        self._compare(str(call))

    def _compare(self, what: str) -> None:
        expected, found = [snapshot(site.root, site.times) for site in self.sites]
        for path in sorted(expected.keys() | found.keys()):
            wanted, got = expected.get(path), found.get(path)
            assert wanted is not None and got is not None and is_same(wanted, got), (
                f"{path!r} after {what}:\nexpected {wanted}\nfound    {got}"
            )

    # Names -----------------------------------------------------------------------------------

    @rule(actor=actors, path=paths, mode=modes)
    def make_folder(self, actor: int, path: str, mode: int) -> None:
        self._both(actor, calls.MakeFolder(path, mode))

    @rule(path=st.sampled_from(("a", "b", "a/b", "c")))
    def make_open_folder(self, path: str) -> None:
        self._both(1, calls.MakeFolder(path, 0o777))

    @rule(actor=actors, path=paths)
    def remove_folder(self, actor: int, path: str) -> None:
        self._both(actor, calls.RemoveFolder(path))

    @rule(actor=actors, path=paths)
    def unlink(self, actor: int, path: str) -> None:
        self._both(actor, calls.Unlink(path))

    @rule(actor=actors, path=paths, new_path=paths, follow=st.booleans())
    def link(self, actor: int, path: str, new_path: str, follow: bool) -> None:
        self._both(actor, calls.Link(path, new_path, follow))

    @rule(
        actor=actors,
        path=paths,
        new_path=paths,
        flags=st.sampled_from((0, 0, 0, calls.RENAME_NOREPLACE, calls.RENAME_EXCHANGE, 3)),
    )
    def rename(self, actor: int, path: str, new_path: str, flags: int) -> None:
        self._both(actor, calls.Rename(path, new_path, flags))

    @rule(
        actor=actors,
        to=st.sampled_from(
            ("a", "b", "../a", "b/../c", "nowhere", Long("t", 4095), Long("t", 4096))
        ),
        path=paths,
    )
    def symlink(self, actor: int, to: str, path: str) -> None:
        self._both(actor, calls.Symlink(to, path))

    @rule(actor=actors, path=paths)
    def read_link(self, actor: int, path: str) -> None:
        self._both(actor, calls.ReadLink(path))

    @rule(
        actor=actors,
        path=paths,
        kind=st.sampled_from(
            (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, 0)
        ),
        mode=modes,
    )
    def make_node(self, actor: int, path: str, kind: int, mode: int) -> None:
        is_device = kind in (stat.S_IFCHR, stat.S_IFBLK)
        # A device that no driver has: what it opens to must not be this machine's disk.
        device = os.makedev(240, 1_000_000) if is_device else 0
        self._both(actor, calls.MakeNode(path, kind, mode, device))

    @rule(actor=actors, path=paths)
    def list_folder(self, actor: int, path: str) -> None:
        self._both(actor, calls.ListFolder(path))

    # Attributes ------------------------------------------------------------------------------

    @rule(actor=actors, path=paths, follow=st.booleans())
    def stat(self, actor: int, path: str, follow: bool) -> None:
        self._both(actor, calls.Stat(path, follow))

    @rule(actor=actors, path=paths, mode=st.integers(0, 7))
    def access(self, actor: int, path: str, mode: int) -> None:
        self._both(actor, calls.Access(path, mode))

    @rule(actor=actors, path=paths, mode=modes)
    def chmod(self, actor: int, path: str, mode: int) -> None:
        self._both(actor, calls.Chmod(path, mode))

    @rule(actor=actors, path=paths, uid=owners, gid=owners, follow=st.booleans())
    def chown(self, actor: int, path: str, uid: int, gid: int, follow: bool) -> None:
        self._both(actor, calls.Chown(path, uid, gid, follow))

    @rule(actor=actors, path=paths, times=times_ns, follow=st.booleans())
    def set_times(self, actor: int, path: str, times: tuple[int, int] | None, follow: bool) -> None:
        self._both(actor, calls.SetTimes(path, times, follow))

    @rule(actor=actors, path=paths, size=sizes)
    def truncate(self, actor: int, path: str, size: int) -> None:
        self._both(actor, calls.Truncate(path, size))

    @rule(
        actor=actors,
        path=paths,
        name=xattr_names,
        value=st.sampled_from((b"", b"x", b"\0\xff" * 20)),
        flags=st.sampled_from((0, 0, os.XATTR_CREATE, os.XATTR_REPLACE)),
        follow=st.booleans(),
    )
    def set_xattr(
        self, actor: int, path: str, name: str, value: bytes, flags: int, follow: bool
    ) -> None:
        self._both(actor, calls.SetXattr(path, name, value, flags, follow))

    @rule(actor=actors, path=paths, name=xattr_names)
    def get_xattr(self, actor: int, path: str, name: str) -> None:
        self._both(actor, calls.GetXattr(path, name))

    @rule(actor=actors, path=paths, follow=st.booleans())
    def list_xattrs(self, actor: int, path: str, follow: bool) -> None:
        self._both(actor, calls.ListXattrs(path, follow))

    @rule(actor=actors, path=paths, name=xattr_names)
    def remove_xattr(self, actor: int, path: str, name: str) -> None:
        self._both(actor, calls.RemoveXattr(path, name))

    # Handles ---------------------------------------------------------------------------------

    @rule(actor=actors, handle=handles, path=paths, flags=open_flags, mode=modes)
    def open(self, actor: int, handle: str, path: str, flags: int, mode: int) -> None:
        # Without O_NONBLOCK the open of a FIFO waits for its other end.
        self._both(actor, calls.Open(handle, path, flags | _A_FIFO_WOULD_WAIT, mode))

    @rule(actor=actors, handle=handles, path=st.sampled_from(("a", "b", "c", "a/a")))
    def open_to_write(self, actor: int, handle: str, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | _A_FIFO_WOULD_WAIT
        self._both(actor, calls.Open(handle, path, flags, 0o666))

    @rule(actor=actors, handle=handles)
    def close(self, actor: int, handle: str) -> None:
        self._both(actor, calls.Close(handle))

    @rule(
        actor=actors,
        handle=handles,
        length=sizes,
        mark=st.integers(0, 9),
        offset=st.one_of(st.none(), offsets),
    )
    def write(self, actor: int, handle: str, length: int, mark: int, offset: int | None) -> None:
        self._both(actor, calls.Write(handle, length, mark, offset))

    @rule(actor=actors, handle=handles, length=sizes, offset=st.one_of(st.none(), offsets))
    def read(self, actor: int, handle: str, length: int, offset: int | None) -> None:
        self._both(actor, calls.Read(handle, length, offset))

    @rule(
        actor=actors,
        handle=handles,
        offset=offsets,
        whence=st.sampled_from((os.SEEK_SET, os.SEEK_CUR, os.SEEK_END)),
    )
    def seek(self, actor: int, handle: str, offset: int, whence: int) -> None:
        self._both(actor, calls.Seek(handle, offset, whence))

    @rule(actor=actors, handle=handles, size=sizes)
    def truncate_handle(self, actor: int, handle: str, size: int) -> None:
        self._both(actor, calls.TruncateHandle(handle, size))

    @rule(actor=actors, handle=handles)
    def sync(self, actor: int, handle: str) -> None:
        self._both(actor, calls.Sync(handle))

    @rule(actor=actors, handle=handles, is_append=st.booleans())
    def set_append(self, actor: int, handle: str, is_append: bool) -> None:
        self._both(actor, calls.SetAppend(handle, is_append))

    @rule(actor=actors, handle=handles)
    def stat_handle(self, actor: int, handle: str) -> None:
        self._both(actor, calls.StatHandle(handle))

    @rule(actor=actors, handle=handles, mode=modes)
    def mode_of_handle(self, actor: int, handle: str, mode: int) -> None:
        self._both(actor, calls.ModeOfHandle(handle, mode))

    @rule(
        actor=actors,
        handle=handles,
        offset=offsets,
        length=sizes,
        mark=st.integers(0, 9),
    )
    def write_map(self, actor: int, handle: str, offset: int, length: int, mark: int) -> None:
        self._both(actor, calls.WriteMap(handle, offset, length, mark))

    @rule(actor=actors, handle=handles)
    def read_map(self, actor: int, handle: str) -> None:
        self._both(actor, calls.ReadMap(handle))
