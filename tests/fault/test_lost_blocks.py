"""What becomes of content whose block was lost: never bad bytes, never relied on, and the way back.

Each test damages a real folder, repairs it with the command, and goes on with real devices.
"""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend_server.config import ServerConfig
from backend_server.protocol.commit_messages import NewContent, OperationAnswer, Outcome, SetContent
from backend_server.protocol.encoding import decode
from backend_server.protocol.errors import ErrorCode
from backend_server.protocol.manifests import Splice, plan_splice
from backend_server.protocol.manifests import unpack_entries as unpack
from backend_server.protocol.transfer_messages import (
    LostBlock,
    LostBlocksPage,
    ManifestsAnswer,
    ManifestsRequest,
    ManifestWanted,
    UploadAnswer,
)
from backend_server.protocol.tree_messages import NodeKind
from check_kit import (
    OLD_S,
    Content,
    check,
    content_of,
    execute,
    filled,
    load_lost,
    object_of,
    objects_of,
    query,
    running,
)
from server_kit import NODE, Device, code_of, config, prepared_config

__all__ = ["config", "prepared_config"]

LARGE, MIDDLE, SMALL = NODE + 1, NODE + 2, NODE + 3


def damage(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[5000] ^= 1
    path.write_bytes(damaged)


async def lose(config: ServerConfig, *nths: int) -> Content:
    """Fill a server, damage some chunks of the large file, and let the check find and list them."""
    content = await filled(config)
    async with running(config) as device:
        for nth in nths:
            damage(object_of(config, device, content.large[nth]))
        frames = await device.fetch_all(*content.large)
        assert [bool(header.error) for header, _ in frames] == [
            nth in nths for nth in range(len(content.large))
        ], "bad bytes were served before the check"
    assert check(config, "--repair").code == 0
    return content


async def errors_of(device: Device, chunks: list[bytes]) -> list[str]:
    return [header.error for header, _ in await device.fetch_all(*chunks)]


async def commit(device: Device, *operations: object) -> list[OperationAnswer]:
    return (await device.commit(*operations)).answers  # type: ignore[arg-type]


def head_of(config: ServerConfig, node_id: int) -> int:
    [(revision,)] = query(config, f"SELECT revision FROM nodes WHERE node_id = {node_id}")
    assert isinstance(revision, int)
    return revision


def edit(config: ServerConfig, node_id: int, content: NewContent) -> SetContent:
    return SetContent(1, 0, node_id, head_of(config, node_id), content, 1, 1)


async def test_a_lost_block_is_an_error_at_once_and_announced_as_missing(
    config: ServerConfig,
) -> None:
    content = await lose(config, 2, 4)
    async with running(config) as device:
        assert await errors_of(device, content.large) == ["", "", "missing", "", "missing", ""]
        answer = decode((await device.announce(*content.chunks)).content, UploadAnswer)
        assert answer.missing == [2, 4]
        delta = device.frame(content.large[2][:-1] + b"!", content.large[2])
        refused = await device.post(device.path(f"blocks?upload={'01' * 16}"), delta)
        assert code_of(refused) is ErrorCode.CHUNK_MISMATCH, "no base that is lost"
        lost = decode((await device.get(device.path("blocks/lost"))).content, LostBlocksPage)
        assert sorted(lost.blocks, key=lambda block: block.length) == [
            LostBlock(LARGE, head_of(config, LARGE), device.chunk_id(chunk), len(chunk))
            for chunk in (content.large[2], content.large[4])
        ]
        assert lost.after == ""
    assert check(config).answer["awaited_chunks"] == 2


async def test_sent_again_it_is_stored_again_and_every_revision_reads(
    config: ServerConfig,
) -> None:
    content = await lose(config, 2, 4)
    async with running(config) as device:
        upload = os.urandom(16)
        lost = [content.large[2], content.large[4]]
        await device.announce(*lost, upload=upload)
        poisoned = device.frame(lost[0])[:-1] + b"?"
        refused = await device.post(device.path(f"blocks?upload={upload.hex()}"), poisoned)
        assert code_of(refused) is ErrorCode.CHUNK_MISMATCH
        assert len(await load_lost(device)) == 2
        assert (await device.send(*lost, upload=upload)).status_code == 200
        assert await load_lost(device) == []
        assert await device.fetch_plain(*content.chunks) == content.chunks
        assert query(config, "SELECT sum(quota_reserved) FROM drives") == [(0,)]
    done = check(config)
    assert (done.code, done.kinds, done.answer["awaited_chunks"]) == (0, {}, 0)


async def test_a_block_lost_twice_is_brought_back_twice(config: ServerConfig) -> None:
    content = await lose(config, 0)
    for _ in range(2):
        async with running(config) as device:
            assert (await device.send(content.large[0], upload=os.urandom(16))).status_code == 200
            assert await device.fetch_plain(*content.large) == content.large
            damage(object_of(config, device, content.large[0]))
        assert check(config, "--repair").code == 0
    async with running(config) as device:
        assert await load_lost(device) == [device.chunk_id(content.large[0])]


async def test_an_object_that_comes_back_by_itself_is_taken(config: ServerConfig) -> None:
    """The disk was not mounted, or the administrator restores a file."""
    content = await filled(config)
    async with running(config) as device:
        path = object_of(config, device, content.large[1])
    data = path.read_bytes()
    path.unlink()
    assert check(config, "--repair").code == 0
    path.write_bytes(data)
    assert check(config).kinds == {"block_returned": 1}
    assert check(config, "--repair").code == 0
    path.unlink()
    assert check(config, "--repair").code == 0
    path.with_name(path.name.split(".")[0] + ".77").write_bytes(data)
    assert check(config, "--repair").repaired == {"block_returned": 1}
    async with running(config) as device:
        assert await device.fetch_plain(*content.chunks) == content.chunks
        assert await load_lost(device) == []


async def test_a_copy_of_what_is_lost_is_asked_for_its_bytes(config: ServerConfig) -> None:
    """The device may hold the last copy: a manifest that is known must not be taken for content."""
    content = await lose(config, 3)
    async with running(config) as device:
        whole = content_of(device, content.large)
        for told in (NewContent(whole.manifest_id, whole.size_bytes), whole):
            copy = replace(device.create(1, b"copy", told), node_id=NODE + 50)
            [answer] = await commit(device, copy)
            assert answer.outcome is Outcome.MISSING
            assert answer.missing == [device.chunk_id(content.large[3])]
            execute(config, "DELETE FROM device_progress", "DELETE FROM operation_answers")
        upload = os.urandom(16)
        assert (await device.send(content.large[3], upload=upload)).status_code == 200
        told = NewContent(whole.manifest_id, whole.size_bytes, upload_id=upload)
        copy = replace(device.create(1, b"copy", told), node_id=NODE + 50)
        assert [each.outcome for each in await commit(device, copy)] == [Outcome.APPLIED]
        assert await device.fetch_plain(*content.large) == content.large


@pytest.mark.parametrize("is_splice", [True, False])
async def test_an_edit_goes_on_naming_what_its_base_lost(
    config: ServerConfig, is_splice: bool
) -> None:
    """The device may never have had that chunk: its edit elsewhere in the file must not wait."""
    content = await lose(config, 3)
    async with running(config) as device:
        edited = [os.urandom(70_000), *content.large[1:]]
        before, after = content_of(device, content.large), content_of(device, edited)
        if is_splice:
            splice = plan_splice(unpack(before.entries), unpack(after.entries))
            after = replace(after, entries=b"", splice=Splice(before.manifest_id, splice))
        assert (await device.send(edited[0], upload=os.urandom(16))).status_code == 200
        [answer] = await commit(device, edit(config, LARGE, after))
        assert answer.outcome is Outcome.APPLIED
        assert await errors_of(device, edited) == ["", "", "", "missing", "", ""]
        copy = replace(
            device.create(2, b"copy", NewContent(after.manifest_id, after.size_bytes)),
            node_id=NODE + 50,
        )
        assert [each.outcome for each in await commit(device, copy)] == [Outcome.MISSING]
        assert (await device.send(content.large[3], upload=os.urandom(16))).status_code == 200
        assert await device.fetch_plain(*edited) == edited
    assert check(config).code == 0


async def test_what_is_lost_may_come_inside_a_commit(config: ServerConfig) -> None:
    content = await filled(config)
    execute(config, "UPDATE chunks SET stored_digest = x'00', sealed = x'00' WHERE place='inline'")
    assert check(config, "--repair").code == 0
    async with running(config) as device:
        assert await errors_of(device, [content.small]) == ["missing"]
        copy = replace(device.create(1, b"copy", device.inline(content.small)), node_id=NODE + 50)
        assert [each.outcome for each in await commit(device, copy)] == [Outcome.APPLIED]
        assert await device.fetch_plain(content.small) == [content.small]
        assert await load_lost(device) == []


async def test_a_witness_is_a_head_where_there_is_one(config: ServerConfig) -> None:
    content = await filled(config)
    async with running(config) as device:
        edited = [content.middle[0], os.urandom(90_000)]
        assert (await device.send(edited[1], upload=os.urandom(16))).status_code == 200
        old = head_of(config, MIDDLE)
        [answer] = await commit(device, edit(config, MIDDLE, content_of(device, edited)))
        assert answer.outcome is Outcome.APPLIED
        for chunk in content.middle:
            object_of(config, device, chunk).unlink()
    assert check(config, "--repair").code == 0
    async with running(config) as device:
        page = decode((await device.get(device.path("blocks/lost"))).content, LostBlocksPage)
        assert {block.chunk_id: block.revision for block in page.blocks} == {
            device.chunk_id(content.middle[0]): head_of(config, MIDDLE),
            device.chunk_id(content.middle[1]): old,
        }


async def test_the_list_comes_in_pages_and_only_to_who_may_read(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lose(config, 0, 1, 2, 3, 4)
    monkeypatch.setattr("backend_server.services.load_lost_blocks.LOST_BLOCKS_PAGE_MAX", 2)
    async with running(config) as device:
        pages, after = [], ""
        while True:
            answer = await device.get(device.path("blocks/lost"), after=after)
            page = decode(answer.content, LostBlocksPage)
            pages.append(page.blocks)
            after = page.after
            if not after:
                break
        assert [len(blocks) for blocks in pages] == [2, 2, 1]
        ids = [block.chunk_id for blocks in pages for block in blocks]
        assert ids == sorted(set(ids))
        for nonsense in ("x", "00", "é"):
            refused = await device.get(device.path("blocks/lost"), after=nonsense)
            assert code_of(refused) is ErrorCode.MALFORMED
        other = await device.get(device.path("blocks/lost", "0" * 16))
        assert code_of(other) is ErrorCode.NOT_FOUND
        execute(config, "UPDATE drive_members SET root_node = 5")
        assert await load_lost(device) == [], "a view of a part of the drive fetches nothing"


async def test_content_whose_segment_is_gone_fails_alone(config: ServerConfig) -> None:
    await filled(config)
    execute(config, "DELETE FROM segments")
    async with running(config) as device:
        heads = query(
            config,
            "SELECT node_id, revision, manifest_id FROM nodes "
            f"WHERE kind = {NodeKind.FILE.value} ORDER BY node_id",
        )
        request = ManifestsRequest([ManifestWanted(*head) for head in heads])
        answer = await device.post(device.path("manifests/fetch"), request)
        found = decode(answer.content, ManifestsAnswer).manifests
        assert [bool(each.entries) for each in found] == [False, True, True]
        assert found[0].error == ErrorCode.MANIFEST_UNKNOWN


async def test_a_block_whose_row_was_lost_is_found_again(config: ServerConfig) -> None:
    """Its object looks like nobody's, and must not be removed."""
    content = await filled(config)
    execute(config, "DELETE FROM chunks WHERE place = 'object'")
    for path in objects_of(config):
        os.utime(path, (0, path.stat().st_mtime - OLD_S))
    done = check(config, "--repair")
    count = len(content.large) + len(content.middle)
    assert (done.code, done.repaired) == (0, {"chunk_unstored": count, "block_returned": count})
    async with running(config) as device:
        assert await device.fetch_plain(*content.chunks) == content.chunks
    done = check(config)
    assert (done.code, done.kinds, done.answer["awaited_chunks"]) == (0, {}, 0)
