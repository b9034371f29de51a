"""What the administrator decides, from four places: flags over environment over file over default.

    DATA/mountfs-server.toml     the file, unless --config names another
    DATA/master.key              the master key, unless `master_key_file` names another
    DATA/metadata.db             the database
    DATA/blocks/                 the block store
    DATA/serve.lock              held by the process that serves DATA
    DATA/quarantine/             damaged blocks that a repair moved aside

The environment is read here and nowhere else: `MOUNTFS_SERVER_DATA`, `_CONFIG`, `_LISTEN` and
`_MASTER_KEY_FILE` stand for the flags and settings of these names.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Final

import msgspec

from backend_server.protocol.limits import MIB

DEFAULT_LISTEN: Final = "127.0.0.1:8420"
CONFIG_FILE_NAME: Final = "mountfs-server.toml"
_ENVIRONMENT_PREFIX: Final = "MOUNTFS_SERVER_"

REAP_EVERY_S: Final = 60.0
COMPACT_EVERY_S: Final = 24 * 3600.0
JOURNAL_KEEP_S: Final = 90 * 24 * 3600.0
"""As long as a device may be away and still continue from its cursor."""

CONFIG_TEMPLATE: Final = f"""\
# Settings of mountfs-server. Flags of the command line win over this file.

# listen = "{DEFAULT_LISTEN}"
# roles = ["api", "blocks", "notify"]

# Serve HTTPS: both, in PEM. Without them keep the server on loopback or behind a proxy.
# tls_cert = "/etc/ssl/mountfs/fullchain.pem"
# tls_key = "/etc/ssl/mountfs/key.pem"

# The master key may live on another disk than the data that it protects.
# master_key_file = "/root/mountfs-master.key"

# Disk space that blocks leave free for the database, in MiB.
# free_mib_min = 64

# Who besides this machine may read /metrics.
# metrics_from_anywhere = false

# debug, info, warning or error
# log_level = "info"

# How often uploads that nobody continues are let go of, and journals compacted.
# reap_every_s = 60
# compact_every_s = 86400

# A device that was away for longer than this (90 days) starts anew from the whole tree.
# journal_keep_s = 7776000
"""


class ConfigInvalid(Exception):
    """A setting makes no sense. The message names it and the remedy."""


class Role(StrEnum):
    """What a process serves. One process may serve all."""

    API = "api"
    BLOCKS = "blocks"
    NOTIFY = "notify"


ALL_ROLES: Final = frozenset(Role)


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    listen: str = DEFAULT_LISTEN
    roles: list[Role] = msgspec.field(default_factory=lambda: list(Role))
    tls_cert: str = ""
    tls_key: str = ""
    master_key_file: str = ""
    free_mib_min: int = 64
    metrics_from_anywhere: bool = False
    log_level: str = "info"
    reap_every_s: float = REAP_EVERY_S
    compact_every_s: float = COMPACT_EVERY_S
    journal_keep_s: float = JOURNAL_KEEP_S


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Everything that is settled before the server starts. Paths are absolute."""

    data: Path
    master_key_file: Path
    host: str = "127.0.0.1"
    port: int = 8420
    """0: any free port."""
    roles: frozenset[Role] = ALL_ROLES
    tls_cert: Path | None = None
    tls_key: Path | None = None
    free_bytes_min: int = 64 * MIB
    metrics_from_anywhere: bool = False
    log_level: str = "info"
    reap_every_s: float = REAP_EVERY_S
    compact_every_s: float = COMPACT_EVERY_S
    journal_keep_s: float = JOURNAL_KEEP_S

    @property
    def database_file(self) -> Path:
        return self.data / "metadata.db"

    @property
    def blocks_folder(self) -> Path:
        return self.data / "blocks"

    @property
    def quarantine_folder(self) -> Path:
        return self.data / "quarantine"

    @property
    def lock_file(self) -> Path:
        return self.data / "serve.lock"


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says; None where it says nothing."""

    data: Path | None = None
    config_file: Path | None = None
    listen: str | None = None
    roles: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


def load_config(flags: Flags, environment: Mapping[str, str] = os.environ) -> ServerConfig:
    """Return what holds. Reads the file, if there is one.

    Raises:
        ConfigInvalid: A setting is unknown or makes no sense; no data folder is named.
    """

    def from_environment(name: str) -> str | None:
        return environment.get(_ENVIRONMENT_PREFIX + name) or None

    named_data = flags.data or from_environment("DATA")
    if not named_data:
        raise ConfigInvalid("no data folder is named: give --data DIR")
    data = Path(named_data).expanduser().absolute()
    named_file = flags.config_file or from_environment("CONFIG")
    file = _load_file(
        Path(named_file) if named_file else data / CONFIG_FILE_NAME,
        must_exist=bool(named_file),
    )
    host, port = parse_listen(flags.listen or from_environment("LISTEN") or file.listen)
    master_key_file = from_environment("MASTER_KEY_FILE") or file.master_key_file
    tls_cert = flags.tls_cert or _path(file.tls_cert, data)
    tls_key = flags.tls_key or _path(file.tls_key, data)
    if (tls_cert is None) != (tls_key is None):
        raise ConfigInvalid("TLS needs both a certificate and its key: give tls_cert and tls_key")
    if file.free_mib_min < 0:
        raise ConfigInvalid("free_mib_min is not negative")
    for name in ("reap_every_s", "compact_every_s"):
        if not 1 <= getattr(file, name) < inf:
            raise ConfigInvalid(f"{name} is at least a second")
    if not 0 <= file.journal_keep_s < inf:
        raise ConfigInvalid("journal_keep_s is not negative")
    if file.log_level not in ("debug", "info", "warning", "error"):
        raise ConfigInvalid(f"log_level {file.log_level!r} is none of debug, info, warning, error")
    return ServerConfig(
        data=data,
        master_key_file=_path(master_key_file, data) or data / "master.key",
        host=host,
        port=port,
        roles=frozenset(file.roles) if flags.roles is None else parse_roles(flags.roles),
        tls_cert=tls_cert,
        tls_key=tls_key,
        free_bytes_min=file.free_mib_min * MIB,
        metrics_from_anywhere=file.metrics_from_anywhere,
        log_level=file.log_level,
        reap_every_s=file.reap_every_s,
        compact_every_s=file.compact_every_s,
        journal_keep_s=file.journal_keep_s,
    )


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT` or `[IPV6]:PORT`. Pure.

    Raises:
        ConfigInvalid: Not an address.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigInvalid(f"{text!r}: write an IPv6 address as [ADDRESS]:PORT")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigInvalid(f"{text!r} is not HOST:PORT, such as {DEFAULT_LISTEN}")
    return host, int(port)


def parse_roles(text: str) -> frozenset[Role]:
    """Return the roles in a comma-separated list. Pure.

    Raises:
        ConfigInvalid: An unknown role, or none.
    """
    try:
        roles = frozenset(Role(name.strip()) for name in text.split(",") if name.strip())
    except ValueError as error:
        raise ConfigInvalid(f"{error}: roles are {', '.join(Role)}") from None
    if not roles:
        raise ConfigInvalid(f"no role is named: roles are {', '.join(Role)}")
    return roles


def _load_file(path: Path, *, must_exist: bool) -> _File:
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), _File)
    except FileNotFoundError:
        if must_exist:
            raise ConfigInvalid(f"there is no config file {path}") from None
        return _File()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"the config file {path} cannot be read: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"the config file {path}: {error}") from error


def _path(text: str, data: Path) -> Path | None:
    """A path of the file counts from the data folder."""
    return data / Path(text).expanduser() if text else None
