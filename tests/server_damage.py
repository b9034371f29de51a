"""What a disk, a slip of the hand or a bug may do to a server's data: a function a kind of damage.

Each takes the server of `check_kit.filled`, stopped.
"""

import os

from backend_server.blocks.block_store import stored_digest_of
from backend_server.config import ServerConfig
from check_kit import OLD_S, execute, objects_of, query
from server_kit import NODE


def truncate(config: ServerConfig) -> None:
    os.truncate(objects_of(config)[0], 1000)


def flip_a_bit(config: ServerConfig) -> None:
    path = objects_of(config)[0]
    damaged = bytearray(path.read_bytes())
    damaged[5000] ^= 1
    path.write_bytes(damaged)


def delete(config: ServerConfig) -> None:
    objects_of(config)[0].unlink()


def flip_a_bit_of_an_inline_block(config: ServerConfig) -> None:
    [(sealed,)] = query(config, "SELECT hex(sealed) FROM chunks WHERE place = 'inline'")
    other = "A" if sealed[-1] != "A" else "B"
    execute(config, f"UPDATE chunks SET sealed = x'{sealed[:-1]}{other}' WHERE place = 'inline'")


def swap_two_blocks(config: ServerConfig) -> None:
    """Each is as somebody stored it, but not the chunk of its name."""
    first, second = objects_of(config)[:2]
    for path, other in ((first, second.read_bytes()), (second, first.read_bytes())):
        chunk = path.name.split(".")[0]
        path.write_bytes(other)
        execute(
            config,
            f"UPDATE chunks SET encoded_size = {len(other)}, stored_digest = "
            f"x'{stored_digest_of(other).hex()}' WHERE chunk_id = x'{chunk}'",
        )


def describe_a_block_wrongly(config: ServerConfig) -> None:
    chunk = objects_of(config)[0].name.split(".")[0]
    execute(
        config,
        f"UPDATE chunks SET encoded_size = 7, stored_digest = x'00' WHERE chunk_id = x'{chunk}'",
    )


def forget_a_chunk(config: ServerConfig) -> None:
    execute(config, "DELETE FROM chunks WHERE place = 'inline'")


def add_an_object(config: ServerConfig) -> None:
    old = objects_of(config)[0]
    extra = old.with_name(old.name + "7")
    extra.write_bytes(b"nobody's")
    os.utime(extra, (0, extra.stat().st_mtime - OLD_S))


def add_a_foreign_file(config: ServerConfig) -> None:
    objects_of(config)[0].with_name("notes.txt").write_bytes(b"somebody's")


def count_quota_wrongly(config: ServerConfig) -> None:
    execute(config, "UPDATE drives SET quota_used = 5, quota_reserved = 9")


def put_the_head_back(config: ServerConfig) -> None:
    execute(config, "UPDATE drives SET head_sequence = 2")


def cut_the_journal(config: ServerConfig) -> None:
    execute(config, "DELETE FROM journal WHERE sequence = 3")


def dangle_a_name(config: ServerConfig) -> None:
    [(drive_id,)] = query(config, "SELECT drive_id FROM drives")
    execute(config, f"INSERT INTO dentries VALUES ('{drive_id}', 1, x'61', 999999, 2)")


def lose_a_node(config: ServerConfig) -> None:
    """Its revisions are there, so its name must not go."""
    execute(
        config,
        "UPDATE drives SET quota_used = quota_used - (SELECT charged_bytes FROM nodes "
        f"WHERE node_id = {NODE + 3})",
        f"DELETE FROM nodes WHERE node_id = {NODE + 3}",
    )


def lose_a_name(config: ServerConfig) -> None:
    execute(config, f"UPDATE dentries SET node_id = NULL WHERE node_id = {NODE + 1}")


def hang_a_name_on_a_file(config: ServerConfig) -> None:
    execute(config, f"UPDATE dentries SET parent = {NODE + 1} WHERE node_id = {NODE + 2}")


def _make_folders(config: ServerConfig, *folders: tuple[int, int]) -> None:
    """Folders (id, parent), as rows of sequence 2 without a journal: it has that sequence."""
    columns = [row[1] for row in query(config, "PRAGMA table_info(nodes)")]
    for folder, parent in folders:
        values = ", ".join(str(folder) if name == "node_id" else name for name in columns)
        execute(
            config,
            f"INSERT OR IGNORE INTO nodes SELECT {values} FROM nodes WHERE node_id = 1",
            "INSERT INTO dentries SELECT drive_id, "
            f"{parent}, x'{folder:08x}{parent:08x}', {folder}, 2 FROM drives",
        )


def put_folders_into_each_other(config: ServerConfig) -> None:
    _make_folders(config, (70001, 70002), (70002, 70001), (70003, 70002))


def name_a_folder_twice(config: ServerConfig) -> None:
    _make_folders(config, (70001, 1), (70002, 1), (70001, 70002))


def lose_the_root(config: ServerConfig) -> None:
    execute(config, "DELETE FROM nodes WHERE node_id = 1")


def lose_an_embedded_manifest(config: ServerConfig) -> None:
    execute(config, "DELETE FROM manifests WHERE segment_ids = x'' AND entry_count = 2")


def lose_a_long_manifest(config: ServerConfig) -> None:
    execute(config, "DELETE FROM manifests WHERE segment_ids != x''")


def damage_a_manifest(config: ServerConfig) -> None:
    execute(config, "UPDATE manifests SET size_bytes = 7 WHERE entry_count = 2")


def damage_a_segment(config: ServerConfig) -> None:
    first = "(SELECT min(segment_id) FROM segments)"
    execute(config, f"UPDATE segments SET entries = zeroblob(40) WHERE segment_id = {first}")


def lose_a_segment(config: ServerConfig) -> None:
    execute(config, "DELETE FROM segments")


def describe_a_head_wrongly(config: ServerConfig) -> None:
    execute(
        config,
        f"UPDATE nodes SET entries = x'00' WHERE node_id = {NODE + 2}",
        f"UPDATE nodes SET size_bytes = 7 WHERE node_id = {NODE + 1}",
    )


def damage_a_chunk_id(config: ServerConfig) -> None:
    execute(config, "UPDATE chunks SET chunk_id = x'00' WHERE place = 'inline'")
    execute(config, "UPDATE chunks SET place = 'object', sealed = NULL WHERE chunk_id = x'00'")


def lose_a_revision(config: ServerConfig) -> None:
    execute(config, f"DELETE FROM revisions WHERE node_id = {NODE + 1}")


def damage_the_keys_of_a_drive(config: ServerConfig) -> None:
    execute(config, "UPDATE drive_keys SET wrapped_key = zeroblob(60)")


def lose_the_blocks_of_a_drive(config: ServerConfig) -> None:
    [folder] = [each for each in config.blocks_folder.iterdir() if each.name != "incoming"]
    folder.rename(config.data.parent / "unmounted")


def add_blocks_of_another_drive(config: ServerConfig) -> None:
    (config.blocks_folder / ("ab" * 8)).mkdir()
