"""Damage of every kind, behind the server's back: found exactly, repaired, and clean afterwards.

A dry run changes no byte. What a damaged block belonged to is never served as good bytes, and can
be read again once a device has brought the block back.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from backend_server.cli.initialise import initialise
from backend_server.cli.main import app
from backend_server.cli.serve_lock import serve_lock
from backend_server.config import Flags, ServerConfig, load_config
from backend_server.protocol.commit_messages import Outcome
from backend_server.protocol.encoding import decode
from backend_server.protocol.tree_messages import ChangesPage
from check_kit import (
    check,
    execute,
    filled,
    fingerprint,
    objects_of,
    refusal,
    running,
)
from server_damage import (
    add_a_foreign_file,
    add_an_object,
    add_blocks_of_another_drive,
    count_quota_wrongly,
    cut_the_journal,
    damage_a_chunk_id,
    damage_a_manifest,
    damage_a_segment,
    damage_the_keys_of_a_drive,
    dangle_a_name,
    delete,
    describe_a_block_wrongly,
    describe_a_head_wrongly,
    flip_a_bit,
    flip_a_bit_of_an_inline_block,
    forget_a_chunk,
    hang_a_name_on_a_file,
    lose_a_long_manifest,
    lose_a_name,
    lose_a_node,
    lose_a_revision,
    lose_a_segment,
    lose_an_embedded_manifest,
    lose_the_blocks_of_a_drive,
    lose_the_root,
    name_a_folder_twice,
    put_folders_into_each_other,
    put_the_head_back,
    swap_two_blocks,
    truncate,
)
from server_kit import NODE, config, prepared_config

__all__ = ["config", "prepared_config"]


@dataclass(frozen=True)
class Case:
    damage: Callable[[ServerConfig], None]
    kinds: dict[str, int]
    is_repaired: bool = True

    @property
    def name(self) -> str:
        return self.damage.__name__


CASES = [
    Case(truncate, {"block_truncated": 1}),
    Case(flip_a_bit, {"block_damaged": 1}),
    Case(delete, {"block_missing": 1}),
    Case(flip_a_bit_of_an_inline_block, {"block_damaged": 1}),
    Case(swap_two_blocks, {"block_unreadable": 2}),
    Case(describe_a_block_wrongly, {"block_record_wrong": 1}),
    Case(forget_a_chunk, {"chunk_unstored": 1}),
    Case(add_an_object, {"orphan_object": 1}),
    Case(add_a_foreign_file, {"foreign_file": 1}),
    Case(count_quota_wrongly, {"quota_wrong": 1, "reservation_wrong": 1}),
    Case(put_the_head_back, {"head_behind": 1}),
    Case(cut_the_journal, {"journal_gap": 1}, is_repaired=False),
    Case(dangle_a_name, {"dentry_dangling": 1}),
    Case(lose_a_node, {"dentry_dangling": 1}, is_repaired=False),
    Case(lose_a_name, {"node_without_name": 1}),
    Case(hang_a_name_on_a_file, {"parent_gone": 1, "node_without_name": 1}),
    Case(put_folders_into_each_other, {"folder_cycle": 1}),
    Case(name_a_folder_twice, {"folder_linked_twice": 1}),
    Case(lose_the_root, {"root_gone": 1}, is_repaired=False),
    Case(lose_an_embedded_manifest, {"manifest_gone": 1}),
    Case(lose_a_long_manifest, {"manifest_gone": 1}, is_repaired=False),
    Case(damage_a_manifest, {"manifest_damaged": 1}, is_repaired=False),
    Case(damage_a_segment, {"segment_damaged": 1}, is_repaired=False),
    Case(lose_a_segment, {"segment_gone": 1}, is_repaired=False),
    Case(describe_a_head_wrongly, {"head_wrong": 2}),
    Case(damage_a_chunk_id, {"block_missing": 1, "chunk_unstored": 1}),
    Case(lose_a_revision, {"revision_gone": 1}, is_repaired=False),
    Case(damage_the_keys_of_a_drive, {"drive_keys_unusable": 1}, is_repaired=False),
    Case(lose_the_blocks_of_a_drive, {"blocks_folder_gone": 1}, is_repaired=False),
    Case(add_blocks_of_another_drive, {"drive_unknown": 1}, is_repaired=False),
]


async def test_what_nobody_touched_is_clean(config: ServerConfig) -> None:
    await filled(config)
    before = fingerprint(config.data)
    for flags in ([], ["--quick"], ["--repair"], ["--repair", "--quick"]):
        done = check(config, *flags)
        assert (done.code, done.kinds) == (0, {})
        assert done.answer["is_clean"]
    after = fingerprint(config.data)
    del after["serve.lock"]
    assert after == before


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_damage_is_found_and_repaired(config: ServerConfig, case: Case) -> None:
    await filled(config)
    case.damage(config)
    before = fingerprint(config.data)
    dry = check(config)
    assert (dry.code, dry.kinds, dry.repaired) == (1, case.kinds, {})
    assert fingerprint(config.data) == before, "a dry run changed something"
    assert dry.answer["remedies"]
    repair = check(config, "--repair")
    assert repair.kinds == case.kinds
    again = check(config)
    if case.is_repaired:
        assert (repair.code, repair.repaired) == (0, case.kinds)
        assert (again.code, again.kinds) == (0, {})
    else:
        assert (repair.code, repair.repaired) == (1, {})
        assert (again.code, again.kinds) == (1, case.kinds)


# What a repair leaves ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage", [lose_a_name, hang_a_name_on_a_file, put_folders_into_each_other]
)
async def test_what_lost_its_name_is_found_at_the_top(
    config: ServerConfig, damage: Callable[[ServerConfig], None]
) -> None:
    content = await filled(config)
    damage(config)
    assert check(config, "--repair").code == 0
    async with running(config) as device:
        page = decode((await device.get(device.path("snapshot"))).content, ChangesPage)
        live = {dentry.node_id: dentry for dentry in page.dentries if dentry.node_id}
        recovered = [each for each in live.values() if each.name.startswith(b"recovered-")]
        assert [each.parent for each in recovered] == [device.drive.root_node]
        assert {NODE + 1, NODE + 2, NODE + 3} <= live.keys()
        more = replace(device.create(4, b"more", device.inline(b"more")), number=1)
        answer = await device.commit(more)
        assert answer.answers[0].outcome is Outcome.APPLIED, "the journal goes on"
        assert await device.fetch_plain(*content.chunks) == content.chunks
    assert check(config).code == 0


async def test_a_head_that_was_set_right_is_told_to_devices(config: ServerConfig) -> None:
    await filled(config)
    async with running(config) as device:
        describe_a_head_wrongly(config)
        page = decode((await device.get(device.path("snapshot"))).content, ChangesPage)
        wrong = {node.node_id: node.entries for node in page.nodes}
    assert check(config, "--repair").code == 0
    async with running(config) as device:
        answer = await device.get(device.path("changes"), cursor=page.cursor)
        changes = decode(answer.content, ChangesPage)
        right = {node.node_id: node for node in changes.nodes}
        assert right.keys() == {NODE + 1, NODE + 2}
        assert right[NODE + 2].entries != wrong[NODE + 2]
        assert right[NODE + 1].size_bytes > 7


async def test_quotas_are_summed_after_what_they_sum_is_right(config: ServerConfig) -> None:
    await filled(config)
    execute(config, f"UPDATE nodes SET charged_bytes = 7 WHERE node_id = {NODE + 1}")
    assert check(config).kinds == {"head_wrong": 1, "quota_wrong": 1}
    assert check(config, "--repair").repaired == {"head_wrong": 1}
    assert check(config).kinds == {}


async def test_a_damaged_block_is_moved_aside_not_deleted(config: ServerConfig) -> None:
    content = await filled(config)
    damaged = objects_of(config)[0]
    flip_a_bit(config)
    flip_a_bit_of_an_inline_block(config)
    data = damaged.read_bytes()
    assert check(config, "--repair").code == 0
    assert not damaged.exists()
    moved = sorted((config.quarantine_folder / content.drive_id).iterdir())
    assert len(moved) == 2
    assert data in [path.read_bytes() for path in moved]


async def test_young_objects_are_left_alone(config: ServerConfig) -> None:
    await filled(config)
    add_an_object(config)
    [extra] = [path for path in objects_of(config) if path.read_bytes() == b"nobody's"]
    os.utime(extra)
    for flags in ([], ["--repair"]):
        done = check(config, *flags)
        assert (done.code, done.kinds, done.answer["young_objects"]) == (0, {}, 1)
    assert extra.exists()


async def test_quick_finds_what_has_not_its_size_and_judges_by_the_bytes(
    config: ServerConfig,
) -> None:
    await filled(config)
    flip_a_bit(config)
    assert check(config, "--quick").kinds == {}
    describe_a_block_wrongly(config)
    assert check(config, "--quick").kinds == {"block_truncated": 1}
    flip_a_bit(config)
    assert check(config, "--quick").kinds == {"block_record_wrong": 1}


# The database --------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95])
async def test_a_truncated_database_is_told_with_its_remedy(
    config: ServerConfig, share: float
) -> None:
    await filled(config)
    os.truncate(config.database_file, int(config.database_file.stat().st_size * share))
    before = fingerprint(config.data)
    done = check(config)
    assert done.code == 1
    assert set(done.kinds) == {"database_damaged"}
    assert "restore the database from its backup" in done.answer["remedies"][0]
    assert fingerprint(config.data) == before
    again = check(config, "--repair")
    assert (again.code, again.repaired) == (1, {})


async def test_a_file_that_is_no_database_is_told(config: ServerConfig) -> None:
    await filled(config)
    config.database_file.write_bytes(b"nonsense" * 1000)
    assert check(config).kinds == {"database_damaged": 1}


async def test_an_index_that_disagrees_with_its_table_is_found(config: ServerConfig) -> None:
    await filled(config)
    execute(
        config,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema "
        "WHERE name = 'ix_nodes_sequence') WHERE name = 'ix_dentries_sequence'",
    )
    done = check(config)
    assert (done.code, set(done.kinds)) == (1, {"database_damaged"})


async def test_a_log_that_a_crash_left_is_read_and_left(config: ServerConfig) -> None:
    await filled(config)
    crash = (
        "import sqlite3, os; database = sqlite3.connect(os.environ['DATABASE']); "
        "database.execute('UPDATE drives SET quota_used = 5'); database.commit(); os._exit(0)"
    )
    subprocess.run(  # noqa: ASYNC221 - nothing else runs
        [sys.executable, "-c", crash],
        env={"DATABASE": str(config.database_file)},
        check=True,
    )
    log = config.database_file.with_name("metadata.db-wal")
    before = (config.database_file.read_bytes(), log.read_bytes())
    assert before[1]
    assert check(config).kinds == {"quota_wrong": 1}
    assert (config.database_file.read_bytes(), log.read_bytes()) == before
    assert check(config, "--repair").code == 0
    assert check(config).code == 0


async def test_a_database_of_an_older_version_is_told_and_a_repair_upgrades_it(
    config: ServerConfig,
) -> None:
    await filled(config)
    execute(config, "DROP TABLE ended_epochs", "UPDATE alembic_version SET version_num = '0005'")
    refused = refusal(config)
    assert "bring it up to date" in refused
    assert check(config, "--repair").code == 0
    assert check(config).code == 0


# Beside a server, and without what is needed ---------------------------------------------------


async def test_a_repair_is_refused_beside_a_server_and_a_dry_run_is_not(
    config: ServerConfig,
) -> None:
    await filled(config)
    delete(config)
    with serve_lock(config.lock_file):
        async with running(config) as device:
            await device.send(os.urandom(70_000))
            before = fingerprint(config.blocks_folder)
            assert "stop it before a repair" in refusal(config, "--repair")
            assert check(config).kinds == {"block_missing": 1}
            assert fingerprint(config.blocks_folder) == before


async def test_without_the_master_key_blocks_are_checked_by_their_digests(
    config: ServerConfig,
) -> None:
    await filled(config)
    flip_a_bit(config)
    config.master_key_file.unlink()
    assert check(config).kinds == {"master_key_unusable": 1, "block_damaged": 1}
    assert "recovery copy" in refusal(config, "--repair")


async def test_with_another_master_key_nothing_is_called_damaged(
    config: ServerConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await filled(config)
    other = load_config(Flags(data=tmp_path_factory.mktemp("other")), {})
    initialise(other)
    config.master_key_file.write_bytes(other.master_key_file.read_bytes())
    for flags in ([], ["--repair"]):
        done = check(config, *flags)
        assert (done.code, done.kinds) == (1, {"master_key_unusable": 1})


async def test_a_folder_without_a_server_and_one_without_blocks_are_told(
    config: ServerConfig, tmp_path: Path
) -> None:
    await filled(config)
    config.blocks_folder.rename(tmp_path / "elsewhere")
    assert "mount its disk" in refusal(config)
    config.database_file.unlink()
    assert "holds no server" in refusal(config)


async def test_people_are_told_what_to_do(config: ServerConfig) -> None:
    await filled(config)
    delete(config)
    words = ["check", "--data", str(config.data)]
    dry = CliRunner().invoke(app, words)
    assert dry.exit_code == 1
    assert "block_missing: The block of chunk" in dry.stdout
    assert "devices that still have the content bring it back" in dry.stdout
    repaired = CliRunner().invoke(app, [*words, "--repair"])
    assert repaired.exit_code == 0
    assert "1 chunks are lost" in repaired.stdout
    assert "is in order" in CliRunner().invoke(app, words).stdout
    assert CliRunner().invoke(app, [*words, "--nonsense"]).exit_code == 2
