"""Whatever a server makes of its answers: the mount goes on, and mirrors a tree or nothing new."""

import copy
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from backend_server.protocol.tree_messages import NodeKind
from hostile_requests import changed
from hurried import hurried
from lawful_tree import Tree
from liar import Liar
from mountfs.errors import MountError
from mountfs.state.store import StateStore
from simulation.world import open_world

CALLS = ("changes", "snapshot", "commits")
VALUES: list[Any] = [
    0, 1, -1, 2, 3, 9, 1 << 16, 1 << 31, 1 << 50, (1 << 62) + 1, (1 << 63) - 1, 1 << 63,
    (1 << 64) - 1, -(1 << 63), None, True, 1.5, "", "text", "x" * 5000, b"", b".", b"a/b", b"a\0",
    b"n" * 255, b"n" * 256, b"docs", b"t" * 5000, bytes(32), bytes(40), [], {}, [[]],
    [1, b"again", 1, 1], [1, b"docs", 0, 1], [1, 1, 0], [7, 1, 2, 0, 0, 0, 0, 0, 1],
]  # fmt: skip
CHANGE = st.tuples(
    st.integers(0, 200),
    st.integers(0, len(VALUES) - 1),
    st.sampled_from(["replace", "replace", "replace", "remove", "repeat", "wrap", "append"]),
)


@settings(
    max_examples=max(1, settings().max_examples // 6),
    suppress_health_check=[HealthCheck.too_slow],
)
@example(lies=[[(3, 11, "replace")], []])
@given(lies=st.lists(st.lists(CHANGE, max_size=2), min_size=1, max_size=6))
def test_any_change_of_any_answer(lies: list[list[tuple[int, int, str]]]) -> None:
    with TemporaryDirectory() as folder:
        trio.run(be_lied_to, Path(folder), lies, clock=MockClock(autojump_threshold=0))


async def be_lied_to(folder: Path, lies: list[list[tuple[int, int, str]]]) -> None:
    async with open_world(folder, hurried) as world:
        honest, device = await world.device("honest"), await world.device("device")
        await honest.mkdir("docs")
        await honest.write("docs/file", b"content")
        await world.quiet()
        liar = Liar(device.transport._inner)
        device.transport._inner = liar

        def tamper(call: str, answer: Any) -> Any:
            if call in CALLS:
                for change in lies[liar.lies % len(lies)]:
                    answer = changed(answer, change, VALUES)
            return answer

        liar.tamper = tamper
        for number in range(3):
            await honest.mkdir(f"docs/{number}")
            await honest.write(f"docs/{number}/file", b"%d" % number)
            await honest.settled()
            with suppress(MountError):  # a quota that is too small is believed
                await device.write(f"mine{number}", b"%d" % number)
            await trio.sleep(30)
        liar.tamper = None
        await trio.sleep(60)
        assert mirrored(device.state).is_lawful()
        assert device.sync.is_online
        assert liar.lies
        assert len(liar.requests) < 1000


def mirrored(state: StateStore) -> Tree:
    nodes = {record.node_id: NodeKind(record.kind) for record in state.mirror.all_nodes()}
    names = {
        (parent, name): node_id
        for parent in copy.copy(nodes)
        for name, node_id in state.mirror.children(parent)
    }
    return Tree(nodes, names)
