"""Commits, feed and polls, over the whole server in process."""

import os

import msgspec

from backend_server.protocol.commit_messages import NewContent, Outcome
from backend_server.protocol.encoding import decode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.manifests import Entry, manifest_id_of, pack_entries
from backend_server.protocol.tree_messages import ChangesPage, PollAnswer, PollRequest
from server_kit import (
    UPLOAD,
    World,
    code_of,
    config,
    prepared_config,
    world,
)

__all__ = ["config", "prepared_config", "world"]


async def test_a_commit_is_in_the_changes_and_wakes_the_poll(world: World) -> None:
    device = await world.log_in()
    page = decode((await device.get(device.path("snapshot"))).content, ChangesPage)
    assert [node.node_id for node in page.nodes] == [1]
    answer = await device.commit(device.create(1, b"a file", device.inline(b"hello")))
    assert [each.outcome for each in answer.answers] == [Outcome.APPLIED]
    poll = await device.post(
        "/v1/changes/poll", msgspec.json.encode(PollRequest({device.drive.drive_id: page.cursor}))
    )
    assert msgspec.json.decode(poll.content, type=PollAnswer).moved == [device.drive.drive_id]
    changes = await device.get(device.path("changes"), cursor=page.cursor)
    changed = decode(changes.content, ChangesPage)
    assert [dentry.name for dentry in changed.dentries] == [b"a file"]
    assert await device.fetch_plain(b"hello") == [b"hello"]
    reset = await device.get(device.path("changes"), cursor="made up")
    assert code_of(reset) is ErrorCode.CURSOR_RESET


async def test_an_uploaded_file_is_committed_over_its_blocks(world: World) -> None:
    device = await world.log_in()
    chunks = [os.urandom(100_000) for _ in range(3)]
    await device.announce(*chunks, growth_bytes=300_000)
    await device.send(*chunks)
    entries = [Entry(device.chunk_id(each), len(each)) for each in chunks]  # type: ignore[arg-type]
    content = NewContent(
        manifest_id_of(entries), 300_000, entries=pack_entries(entries), upload_id=UPLOAD
    )
    answer = await device.commit(device.create(1, b"big", content))
    assert answer.answers[0].outcome is Outcome.APPLIED
    assert (answer.quota.used_bytes, answer.quota.reserved_bytes) == (300_000, 0)
