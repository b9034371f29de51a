"""A server that lies about the tree: the mount goes on, tells what is wrong, and mirrors no lie.

The real server answers, and its answers are changed on the way; then it is honest again, and
device and server come to agree.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from backend_server.protocol.limits import FILE_SIZE_BYTES_MAX
from hurried import hurried
from liar import Liar, Tamper
from mountfs.errors import Corruption
from simulation.world import Device, World, open_world

PATIENCE_S = 100
REQUESTS_MAX = 100

NODE, PARENT = 0, 0
SEQUENCE, KIND, MODE, UID, MTIME, SIZE, REVISION, MANIFEST, ENTRIES = 1, 2, 3, 4, 6, 9, 10, 11, 12


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, hurried) as world:
        yield world


async def two_devices(world: World) -> tuple[Device, Device, Liar]:
    """Return a device that is told the truth, one that is not, and who stands between."""
    honest, device = await world.device("honest"), await world.device("device")
    await honest.mkdir("folder")
    await honest.mkdir("folder/inner")
    await honest.write("folder/file", b"content")
    await world.quiet()
    liar = Liar(device.transport._inner)
    device.transport._inner = liar
    return honest, device, liar


def rows(table: str) -> Callable[[Callable[[list[Any]], None]], Tamper]:
    """Return what changes every row of a table of a page."""

    def of(change: Callable[[list[Any]], None]) -> Tamper:
        def tamper(call: str, answer: Any) -> Any:
            if call in ("changes", "snapshot"):
                for row in answer[table]:
                    change(row)
            return answer

        return tamper

    return of


def put(table: str, at: int, value: Any) -> Tamper:
    def change(row: list[Any]) -> None:
        row.extend([0, 0, 0, 0, 0, 0, 0, b"", b"", b"", 0][: max(0, at + 1 - len(row))])
        row[at] = value

    return rows(table)(change)


def page(**fields: Any) -> Tamper:
    return lambda call, answer: {**answer, **fields} if call == "changes" else answer


def more(table: str, *extra: list[Any]) -> Tamper:
    """Add rows to a page, with its own sequence."""

    def tamper(call: str, answer: Any) -> Any:
        if call == "changes":
            answer[table] += [
                [answer["consistent_at"] if part is None else part for part in row] for row in extra
            ]
        return answer

    return tamper


A, B = 7 << 30, 8 << 30
FOLDER_ROW = [None, 2, 0o755, 0, 0, 1, 1, 1]


def both(*tampers: Tamper) -> Tamper:
    def tamper(call: str, answer: Any) -> Any:
        for each in tampers:
            answer = each(call, answer)
        return answer

    return tamper


LIES: dict[str, Tamper] = {
    "a name with a slash": put("dentries", 1, b"a/b"),
    "a name with a NUL": put("dentries", 1, b"a\0"),
    "the name .": put("dentries", 1, b"."),
    "the name ..": put("dentries", 1, b".."),
    "an empty name": put("dentries", 1, b""),
    "a name of 256 bytes": put("dentries", 1, b"n" * 256),
    "a name in no folder": put("dentries", PARENT, A),
    "a name that leads nowhere": put("dentries", 2, A),
    "a name of the root": put("dentries", 2, 1),
    "a parent beyond 63 bits": put("dentries", PARENT, 1 << 63),
    "a node beyond 63 bits": put("dentries", 2, (1 << 64) - 1),
    "a node that is none": put("nodes", NODE, 0),
    "a node with the root's id": put("nodes", NODE, 1),
    "a node of a kind that is none": put("nodes", KIND, 9),
    "every node removed": put("nodes", KIND, 0),
    "every node a folder": put("nodes", KIND, 2),
    "a mode beyond its bits": put("nodes", MODE, 0o10000),
    "an owner below zero": put("nodes", UID, -1),
    "a negative size": put("nodes", SIZE, -1),
    "a size over 2**60": put("nodes", SIZE, 1 << 60),
    "a size beyond the largest file": put("nodes", SIZE, FILE_SIZE_BYTES_MAX + 1),
    "an mtime beyond 64 bits": put("nodes", MTIME, (1 << 64) - 1),
    "an mtime at the end of 64 bits": put("nodes", MTIME, -(1 << 63)),
    "a revision beyond 64 bits": put("nodes", REVISION, (1 << 64) - 1),
    "half a manifest id": put("nodes", MANIFEST, b"m" * 16),
    "entries cut off": put("nodes", ENTRIES, b"e" * 39),
    "too many entries": put("nodes", ENTRIES, b"e" * 40_000),
    "a symlink with a NUL": more("nodes", [A, None, 3, 0, 0, 0, 1, 1, 1, 0, 0, b"", b"", b"a\0"]),
    "a symlink to nowhere": more("nodes", [A, None, 3, 0, 0, 0, 1, 1, 1]),
    "a symlink of 5000 bytes": more(
        "nodes", [A, None, 3, 0, 0, 0, 1, 1, 1, 0, 0, b"", b"", b"t" * 5000]
    ),
    "a folder in itself": both(
        more("nodes", [A, *FOLDER_ROW]), more("dentries", [A, b"a", A, None])
    ),
    "a cycle of folders": both(
        more("nodes", [A, *FOLDER_ROW], [B, *FOLDER_ROW]),
        more("dentries", [A, b"b", B, None], [B, b"a", A, None]),
    ),
    "a folder with two parents": both(
        more("nodes", [A, *FOLDER_ROW]),
        more("dentries", [1, b"one", A, None], [1, b"two", A, None]),
    ),
    "the root removed": more("nodes", [1, None, 0]),
    "the root a file": more("nodes", [1, None, 1, 0, 0, 0, 1, 1, 1]),
    "a row from behind the head": put("nodes", SEQUENCE, 1 << 40),
    "a head beyond 64 bits": page(consistent_at=1 << 63),
    "no cursor": page(cursor=""),
    "a cursor of a megabyte": page(cursor="c" * (1 << 20)),
    "answered through what was never sent": page(applied_through=(1 << 64) - 1),
    "a quota below zero": page(quota=[-1, 0, 0]),
    "a quota beyond 64 bits": page(quota=[1 << 63, 0, 0]),
    "a page without end": page(has_more=True),
    "an empty page without end": page(has_more=True, nodes=[], dentries=[]),
    "not a page": lambda call, answer: {"moved": []} if call == "changes" else answer,
    "nested deep": lambda call, answer: {**answer, "nodes": nested(3000)},
}


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


async def test_lies_about_the_tree_reach_no_mirror(autojump_clock: MockClock, world: World) -> None:
    honest, device, liar = await two_devices(world)
    for number, (lie, tamper) in enumerate(LIES.items()):
        before = await device.tree()
        liar.tamper, liar.lies, liar.requests = tamper, 0, []
        await honest.mkdir(f"more {number}")
        await honest.write(f"more {number}/file", b"new")
        await honest.write("folder/file", b"edited %d" % number)
        await honest.settled()
        await trio.sleep(PATIENCE_S)
        assert liar.lies, lie
        assert isinstance(device.sync.last_error, Corruption), lie
        assert str(device.sync.last_error), lie
        assert len(liar.requests) < REQUESTS_MAX, f"{lie}: it asks ever more rarely"
        assert await device.tree() == before, lie
        liar.tamper = None
        await world.quiet()
        assert await device.tree() == await honest.tree(), lie
        assert f"more {number}/file" in await device.tree(), lie


def said(**fields: Any) -> Tamper:
    """Change every answer to an operation of a commit."""

    def tamper(call: str, answer: Any) -> Any:
        if call == "commits":
            for number, each in enumerate(answer["answers"]):
                each.extend([0, None, [], 0][max(0, len(each) - 2) :])
                for name, value in fields.items():
                    each[("number", "outcome", "sequence", "code", "missing").index(name)] = value
                answer["answers"][number] = each
        return answer

    return tamper


def answers(change: Callable[[list[Any]], list[Any]]) -> Tamper:
    return lambda call, answer: (
        {**answer, "answers": change(answer["answers"])} if call == "commits" else answer
    )


def nothing_came_of_it(call: str, answer: Any) -> Any:
    """Say that everything was made, and never show it."""
    if call == "changes":
        return {**answer, "nodes": [], "dentries": []}
    return answer


COMMIT_LIES: dict[str, Tamper] = {
    "made nowhere": said(sequence=0),
    "made before everything": said(sequence=-1),
    "made beyond 64 bits": said(sequence=(1 << 64) - 1),
    "made behind the head": said(sequence=1 << 40),
    "another operation": said(number=1 << 40),
    "an outcome that is none": said(outcome=9),
    "a code that is none": said(code="whatever"),
    "missing what is no chunk": said(outcome=2, missing=[b"c"]),
    "too few answers": answers(lambda each: each[:-1]),
    "no answers": answers(lambda each: []),
    "too many answers": answers(lambda each: [*each, *each]),
    "answers the wrong way round": answers(lambda each: each[::-1]),
    "made and never seen": nothing_came_of_it,
}


async def test_lies_about_commits_lose_nothing(autojump_clock: MockClock, world: World) -> None:
    honest, device, liar = await two_devices(world)
    for number, (lie, tamper) in enumerate(COMMIT_LIES.items()):
        liar.tamper, liar.lies, liar.requests = tamper, 0, []
        await device.write("folder/file", b"mine %d" % number)
        await device.write(f"mine {number}", b"mine too")
        await trio.sleep(PATIENCE_S)
        assert liar.lies, lie
        assert isinstance(device.sync.last_error, Corruption), lie
        assert len(liar.requests) < REQUESTS_MAX, lie
        tree = await device.tree()
        assert tree["folder/file"] == b"mine %d" % number, lie
        assert tree[f"mine {number}"] == b"mine too", lie
        liar.tamper = None
        await world.quiet()
        assert await device.tree() == await honest.tree() == tree, lie


async def test_a_node_with_the_number_of_an_inode_in_use_gets_another(
    autojump_clock: MockClock, world: World
) -> None:
    honest, device, liar = await two_devices(world)
    await device.write("folder/save", b"saved")
    await device.rename("folder/save", "folder/file")
    await world.quiet()
    inode = await device.find("folder/file")
    assert device.node_of(inode) != inode
    mine = [1, None, 0o644, 0, 0, 1, 1, 1]
    liar.tamper = both(
        more("nodes", [inode, None, *mine[:1], *mine[2:]]), more("dentries", [1, b"x", inode, None])
    )
    await honest.write("again", b"a")
    await honest.settled()
    await trio.sleep(100)
    liar.tamper = None
    assert await device.find("folder/file") == inode
    assert await device.read("folder/file") == b"saved"
    other = await device.find("x")
    assert other != inode
    assert await device.read("x") == b""
