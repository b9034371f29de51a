"""A drive without its kernel does what a local folder does, whatever happens to it meanwhile.

Between the calls everything is sent, the device is killed and started again, or another device
looks. Thousands of steps: `HYPOTHESIS_PROFILE=deep pytest tests/simulation/test_same_as_…`.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from differential import calls
from differential.actors import Actor, User, actors_of
from differential.calls import Call
from differential.snapshot import Times, snapshot
from differential.vfs_desk import VfsDesk, set_time
from mountfs.vfs.interface import ROOT_INODE, AttributeChanges, Caller
from simulation.world import open_world

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="owners and devices need root")

NAMES = ("a", "b", "c", "a/a", "a/b", "b/a", "b/b/a", "a/b/c", "c/a")
ROOT = Caller(uid=0, gid=0, pid=1)


@dataclass(frozen=True)
class SendEverything:
    pass


@dataclass(frozen=True)
class KillAndStart:
    pass


Step = Call | SendEverything | KillAndStart

paths = st.sampled_from(NAMES)
handles = st.sampled_from(("h", "i"))
sizes = st.sampled_from((0, 1, 100, 4096, 20_000, 70_000))
offsets = st.sampled_from((0, 1, 50, 4096, 65_536))
owners = st.sampled_from((-1, 0, 7))
modes = st.sampled_from((0o644, 0o755, 0o4755, 0o2775, 0o1777))
flags = st.builds(
    lambda access, others: access | sum(others),
    st.sampled_from((os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR)),
    st.sets(st.sampled_from((os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND))).map(sorted),
)
times = st.tuples(*[st.sampled_from((0, 1, 999_999_999_999_999_999))] * 2)
kinds = st.sampled_from((stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK))
to_write = st.builds(calls.Open, handles, paths, st.just(os.O_RDWR | os.O_CREAT), st.just(0o644))
made_calls = st.one_of(
    st.builds(calls.MakeFolder, st.sampled_from(("a", "b", "a/b", "c", "b/b")), modes),
    st.builds(calls.RemoveFolder, paths),
    st.builds(calls.Unlink, paths),
    st.builds(calls.Link, paths, paths, st.booleans()),
    st.builds(calls.Rename, paths, paths, st.sampled_from((0, 0, 0, 1, 2))),
    st.builds(calls.Rename, paths, paths),
    st.builds(calls.Symlink, st.sampled_from(("a", "b", "nowhere", "a/a")), paths),
    st.builds(calls.ReadLink, paths),
    st.builds(calls.MakeNode, paths, kinds, modes),
    st.builds(calls.ListFolder, paths),
    st.builds(calls.Stat, paths, st.booleans()),
    st.builds(calls.Chmod, paths, modes),
    st.builds(calls.Chown, paths, owners, owners, st.booleans()),
    st.builds(calls.SetTimes, paths, times, st.booleans()),
    st.builds(calls.Truncate, paths, sizes),
    st.builds(calls.Open, handles, paths, flags, modes),
    to_write,
    to_write,
    st.builds(calls.Close, handles),
    st.builds(calls.Write, handles, sizes, st.integers(0, 9), st.one_of(st.none(), offsets)),
    st.builds(calls.Write, handles, sizes, st.integers(0, 9), offsets),
    st.builds(calls.Read, handles, sizes, st.one_of(st.none(), offsets)),
    st.builds(calls.TruncateHandle, handles, sizes),
    st.builds(calls.StatHandle, handles),
    st.builds(calls.Sync, handles),
)
steps = st.one_of(
    *[made_calls] * 8, st.just(SendEverything()), st.just(KillAndStart())
)  # fmt: skip


@pytest.fixture(scope="module")
def actor() -> Iterator[Actor]:
    with actors_of((User(0, (0,)),)) as (made,):
        yield made


@settings(
    max_examples=settings().max_examples // 4,  # each is a hundred calls
    suppress_health_check=list(HealthCheck),
)
@given(work=st.lists(steps, min_size=20, max_size=120))
def test_random_calls(actor: Actor, work: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trio.run(_compare, actor, work, Path(folder), clock=MockClock(autojump_threshold=0))


async def _compare(actor: Actor, work: list[Step], folder: Path) -> None:
    local = folder / "local"
    local.mkdir()
    local.chmod(0o755)
    actor.enter(local)
    async with open_world(folder) as world:
        world.shared_cache = {}
        device = await world.device("one")
        await device.fs.set_attributes(ROOT_INODE, AttributeChanges(mode=0o755), None, ROOT)
        desk = VfsDesk(lambda: device.fs)
        for step in work:
            if isinstance(step, SendEverything):
                await device.settled()
            elif isinstance(step, KillAndStart):
                await device.kill()
                await device.start()
                desk.forget_handles()
                actor.enter(local)
            elif not _would_wait(local, step):
                expected, found = actor.make(step), await desk.make(step)
                assert found == expected, f"{step}: expected {expected}, found {found}"
            assert await desk.snapshot() == _local_snapshot(local), f"after {step}"
        actor.enter(folder)
        await device.settled()
        other = await world.device("two")
        await other.settled()
        elsewhere = await VfsDesk(lambda: other.fs).snapshot()
        assert elsewhere == await desk.snapshot(), "another device shows the same"


def _would_wait(local: Path, step: Call) -> bool:
    """Opening a FIFO waits for its other end, and never reaches a file system; nor do sockets."""
    if not isinstance(step, calls.Open):
        return False
    try:
        return not stat.S_ISREG((local / step.path).stat().st_mode)
    except OSError:
        return False


def _local_snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    return {
        path: (
            fact.same_as,
            fact.facts,
            fact.content.encode() if isinstance(fact.content, str) else fact.content,
            set_time((root / path).lstat().st_mtime_ns),
        )
        for path, fact in snapshot(root, Times()).items()
    }
