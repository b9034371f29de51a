"""`serve`: the application behind a socket, in this one process.

granian's network side runs in threads of its own (Rust), the application on this thread's asyncio
loop. One process, because SQLite has one writer: a SIGKILL leaves nobody behind.

Stopping, by SIGTERM or SIGINT: waiting polls are answered, no connection is taken any more,
requests under way end, the database closes. After SHUTDOWN_S it stops all the same: nothing that
was acknowledged depends on a clean end.
"""

import asyncio
import json
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.net import SocketHolder  # type: ignore[attr-defined]  # its stub hides it
from granian.server.embed import Server

from backend_server.app import ServerApp, open_server
from backend_server.cli.allocator import keep_freed_memory
from backend_server.cli.failures import CommandFailed, listening_failure
from backend_server.cli.serve_lock import ServedAlready, serve_lock
from backend_server.config import ServerConfig
from backend_server.notify.change_hub import WATCHERS_MAX

_log = structlog.get_logger("backend_server.serve")

SHUTDOWN_S: Final = 20.0
_BACKLOG: Final = 1024
CONNECTIONS_MAX: Final = 2 * WATCHERS_MAX
"""One waiting poll a device, and one more connection for everything else. Further ones wait."""
_FILES_BESIDE: Final = 1024
"""Objects of the block store, the database."""


class _EmbeddedServer(Server):
    """granian on a socket that is bound already: a free port is known, a taken one refused."""

    def __init__(
        self,
        asgi: Callable[..., Awaitable[None]],
        listener: socket.socket,
        config: ServerConfig,
    ) -> None:
        super().__init__(
            asgi,
            address=config.host,
            port=_port_of(listener),
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=_BACKLOG,
            backpressure=CONNECTIONS_MAX,
            log_enabled=False,
            ssl_cert=config.tls_cert,
            ssl_key=config.tls_key,
        )
        # granian closes it: the descriptor is its own from here on.
        self._descriptor = listener.detach()

    def _init_shared_socket(self) -> None:
        # Instead of binding by itself, which would share the port (SO_REUSEPORT) with whoever
        # has it. Not a public hook; the test of the real process holds it.
        self._ssp = None
        self._shd = SocketHolder(self._descriptor, False, _BACKLOG)  # type: ignore[call-arg,assignment]


def serve(config: ServerConfig, *, as_json: bool) -> None:
    """Serve until told to stop.

    Raises:
        CommandFailed: Another process serves this data; the address or certificate is no good.
    """
    _check_certificate(config.tls_cert, config.tls_key)
    keep_freed_memory()
    _allow_many_files()
    try:
        with serve_lock(config.lock_file):
            asyncio.run(_serve(config, as_json=as_json))
    except ServedAlready:
        raise CommandFailed(
            f"another mountfs-server serves {config.data} already; stop it first"
        ) from None
    except FileNotFoundError as error:
        if error.filename != str(config.lock_file):
            raise
        raise CommandFailed(
            f"{config.data} holds no server; run: mountfs-server init --data {config.data}"
        ) from None


async def _serve(config: ServerConfig, *, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with _bind(config) as listener:
        async with open_server(config) as server:
            port = _port_of(listener)
            # Not earlier: whoever can connect is answered.
            listener.listen(_BACKLOG)
            embedded = _EmbeddedServer(server.asgi, listener, config)
            serving = asyncio.create_task(embedded.serve())
            _announce(config, port, as_json=as_json)
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await _drain(server, embedded, serving)


async def _drain(server: ServerApp, embedded: Server, serving: asyncio.Task[None]) -> None:
    _log.info("stopping")
    server.begin_shutdown()
    embedded.stop()  # type: ignore[no-untyped-call]
    done, _ = await asyncio.wait({serving}, timeout=SHUTDOWN_S)
    if done:
        serving.result()
    else:
        _log.warning("requests were still under way at the deadline", deadline_s=SHUTDOWN_S)
        serving.cancel()


def _allow_many_files() -> None:
    """Every connection is a file; the usual soft limit of 1,024 is made for other programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + _FILES_BESIDE
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _bind(config: ServerConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        raise listening_failure(error, config) from error
    return listener


def _port_of(listener: socket.socket) -> int:
    port = listener.getsockname()[1]
    assert isinstance(port, int)
    return port


def _announce(config: ServerConfig, port: int, *, as_json: bool) -> None:
    scheme = "https" if config.tls_cert else "http"
    host = f"[{config.host}]" if ":" in config.host else config.host
    url = f"{scheme}://{host}:{port}"
    line = json.dumps({"listening": url}) if as_json else f"mountfs-server listens on {url}"
    print(line, flush=True)
    _log.info("listening", url=url, roles=sorted(config.roles))


def _check_certificate(cert: Path | None, key: Path | None) -> None:
    """Say what is wrong with the files before granian does, in another thread's words."""
    if cert is None or key is None:
        return
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for path in (cert, key):
        if not path.is_file():
            raise CommandFailed(f"there is no file {path}; give --tls-cert and --tls-key")
    try:
        context.load_cert_chain(cert, key)
    except (ssl.SSLError, OSError) as error:
        raise CommandFailed(f"{cert} and {key} are no certificate and its key: {error}") from error
