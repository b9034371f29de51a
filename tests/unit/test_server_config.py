"""Settings from flags, environment, file and defaults."""

from pathlib import Path

import pytest

from backend_server.cli.sizes import format_size, parse_size
from backend_server.config import (
    ALL_ROLES,
    CONFIG_TEMPLATE,
    ConfigInvalid,
    Flags,
    Role,
    load_config,
    parse_listen,
    parse_roles,
)


def test_defaults(tmp_path: Path) -> None:
    config = load_config(Flags(data=tmp_path), {})
    assert (config.host, config.port) == ("127.0.0.1", 8420)
    assert config.roles == ALL_ROLES
    assert config.master_key_file == tmp_path / "master.key"


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    (tmp_path / "mountfs-server.toml").write_text(
        'listen = "1.1.1.1:1"\nmaster_key_file = "k"\nroles = ["api"]\n'
    )
    environment = {"MOUNTFS_SERVER_DATA": str(tmp_path), "MOUNTFS_SERVER_LISTEN": "2.2.2.2:2"}
    by_file = load_config(Flags(data=tmp_path), {})
    assert (by_file.host, by_file.port, by_file.roles) == ("1.1.1.1", 1, frozenset({Role.API}))
    assert by_file.master_key_file == tmp_path / "k"
    assert load_config(Flags(), environment).host == "2.2.2.2"
    flags = Flags(listen="[::1]:3", roles="blocks, notify")
    by_flag = load_config(flags, environment)
    assert (by_flag.host, by_flag.port) == ("::1", 3)
    assert by_flag.roles == {Role.BLOCKS, Role.NOTIFY}


def test_the_file_that_init_writes_is_the_defaults(tmp_path: Path) -> None:
    plain = load_config(Flags(data=tmp_path), {})
    (tmp_path / "mountfs-server.toml").write_text(CONFIG_TEMPLATE)
    assert load_config(Flags(data=tmp_path), {}) == plain
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line else line for line in CONFIG_TEMPLATE.splitlines()
    )
    (tmp_path / "mountfs-server.toml").write_text(uncommented)
    assert load_config(Flags(data=tmp_path), {}).tls_cert is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("listne = 1", "listne"),
        ("listen = 8420", "listen"),
        ('listen = "8420"', "HOST:PORT"),
        ('roles = ["ap"]', "ap"),
        ('tls_cert = "c"', "both"),
        ("free_mib_min = -1", "free_mib_min"),
        ('log_level = "loud"', "loud"),
        ("reap_every_s = 0", "reap_every_s"),
        ("compact_every_s = inf", "compact_every_s"),
        ("journal_keep_s = -1", "journal_keep_s"),
        ("= = =", "cannot be read"),
    ],
)
def test_a_bad_file_is_told_by_its_setting(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mountfs-server.toml").write_text(text)
    with pytest.raises(ConfigInvalid, match=says):
        load_config(Flags(data=tmp_path), {})


def test_what_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="--data"):
        load_config(Flags(), {})
    with pytest.raises(ConfigInvalid, match=r"nowhere\.toml"):
        load_config(Flags(data=tmp_path, config_file=tmp_path / "nowhere.toml"), {})


@pytest.mark.parametrize("text", ["", "localhost", ":80", "h:", "h:x", "h:65536", "::1:80", "h:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid):
        parse_listen(text)


def test_roles_are_named() -> None:
    with pytest.raises(ConfigInvalid, match="mail"):
        parse_roles("api,mail")
    with pytest.raises(ConfigInvalid):
        parse_roles(" , ")


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("10GiB", 10 << 30), ("1.5 KiB", 1536), ("0", 0), ("2TB", 2 * 10**12), ("7 b", 7)],
)
def test_sizes_are_read(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1 XB", "9999999 TiB", "1e3", "٣ GiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|disk"):
        parse_size(text)


def test_sizes_are_shown() -> None:
    shown = [format_size(size) for size in (0, 1023, 1024, 10 << 30, 1 << 41)]
    assert shown == ["0 B", "1023 B", "1.0 KiB", "10.0 GiB", "2.0 TiB"]
