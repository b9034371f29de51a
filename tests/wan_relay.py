#!/usr/bin/env python3
"""A TCP relay that behaves like a wide-area link, and counts what crosses it.

    wan_relay.py --listen 127.0.0.1:9001 --to 127.0.0.1:9000 \
                 [--rtt-ms 50] [--mbit 100] [--control 127.0.0.1:9101]

Each direction delays every byte by rtt/2 and shares one token bucket of `mbit`
(10^6 bits/s) among all connections, as one access link would. Control port: send one line,
    stats   -> {"up": bytes client->server, "down": bytes server->client, "conns": opened,
               "tries": connections that were asked for}
    reset   -> sets the counters to zero
    cut     -> drops every connection and refuses new ones, until
    heal    -> which leaves a trap where it is
    freeze  -> nothing passes any more, and nobody is told (no FIN, no RST), until heal; what was
               connected then stays dead for ever
    trap kind=commits place=answer action=freeze
            -> cuts or freezes when a request of this kind comes to this place (`harness.http_watch`
               has the kinds and places); stats says when it is "sprung"
    set rtt_ms=80 mbit=20 -> changes the link
The kernels that we test on have no netem, hence this. Standard library only.
"""

import argparse
import asyncio
import contextlib
import json
import time

from harness.http_watch import Conversation, Place, Trap

CHUNK = 64 * 1024
MAX_IN_FLIGHT = (
    8 * 1024 * 1024
)  # bytes held per direction and connection before the sender is made to wait


class Link:
    """One direction of the access link, shared by all connections."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self.bytes = 0

    def deliver_at(self, n: int, rtt_ms: float, mbit: float) -> float:
        now = time.monotonic()
        self.bytes += n
        start = max(now, self.free_at)
        self.free_at = start + (n * 8 / (mbit * 1e6) if mbit else 0.0)
        return self.free_at + rtt_ms / 2000


class Relay:
    def __init__(self, to: tuple[str, int], rtt_ms: float, mbit: float) -> None:
        self.to, self.rtt_ms, self.mbit = to, rtt_ms, mbit
        self.up, self.down = Link(), Link()
        self.conns = 0
        self.is_cut = False
        self.is_frozen = False
        self.trap: Trap | None = None
        self.action = "cut"
        self.is_sprung = False
        self.open: set[asyncio.StreamWriter] = set()
        self.dead: set[Conversation] = set()
        self.conversations: set[Conversation] = set()
        self.tries = 0

    def cut(self) -> None:
        self.is_cut = True
        for x in list(self.open):
            x.transport.abort()

    def freeze(self) -> None:
        self.is_frozen = True
        self.dead |= self.conversations

    def heal(self) -> None:
        self.is_cut = self.is_frozen = False

    def spring(self) -> None:
        if self.trap is not None:
            self.trap = None
            self.is_sprung = True
            self.cut() if self.action == "cut" else self.freeze()

    async def pump(
        self,
        r: asyncio.StreamReader,
        w: asyncio.StreamWriter,
        link: Link,
        conversation: Conversation,
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
        watch = conversation.up if link is self.up else conversation.down
        held = 0
        room, is_empty = asyncio.Event(), asyncio.Event()
        room.set()

        async def drain() -> None:
            nonlocal held
            try:
                while (item := await queue.get()) is not None:
                    at, data = item
                    delay = at - time.monotonic()
                    if delay > 0:
                        await asyncio.sleep(delay)
                    await self.pass_on(conversation)
                    w.write(data)
                    await w.drain()
                    held -= len(data)
                    room.set()
                    if not held:
                        is_empty.set()
                with contextlib.suppress(OSError, RuntimeError):
                    w.write_eof()
            finally:  # nobody waits for what can go nowhere
                room.set()
                is_empty.set()

        task = asyncio.create_task(drain())
        try:
            while data := await r.read(CHUNK):
                await self.pass_on(conversation)
                data, is_sprung = watch(data, self.trap)
                held += len(data)
                at = link.deliver_at(len(data), self.rtt_ms, self.mbit)
                is_empty.clear()
                queue.put_nowait((at, data))
                if is_sprung:
                    await is_empty.wait()
                    self.spring()
                    continue
                if held > MAX_IN_FLIGHT:
                    room.clear()
                    await room.wait()
            queue.put_nowait(None)
            await task
        except (OSError, asyncio.CancelledError):
            task.cancel()
        finally:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(task, return_exceptions=True)

    async def pass_on(self, conversation: Conversation) -> None:
        """Return if the connection lives; never if it is frozen."""
        if conversation in self.dead:
            await asyncio.Event().wait()

    async def serve(self, r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        self.tries += 1
        if self.is_cut:
            w.transport.abort()
            return
        self.conns += 1
        conversation = Conversation()
        if self.is_frozen:
            self.dead.add(conversation)
        await self.pass_on(conversation)
        try:
            if self.rtt_ms:
                await asyncio.sleep(self.rtt_ms / 1000)  # the TCP handshake's round trip
            sr, sw = await asyncio.open_connection(*self.to)
        except OSError:
            w.transport.abort()
            return
        self.open |= {w, sw}
        self.conversations.add(conversation)
        try:
            await asyncio.gather(
                self.pump(r, sw, self.up, conversation), self.pump(sr, w, self.down, conversation)
            )
        finally:
            self.conversations.discard(conversation)
            for x in (w, sw):
                self.open.discard(x)
                with contextlib.suppress(OSError):
                    x.close()

    async def control(self, r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        line = (await r.readline()).decode().split()
        verb = line[0] if line else ""
        if verb == "reset":
            self.up.bytes = self.down.bytes = self.conns = self.tries = 0
        elif verb == "cut":
            self.cut()
        elif verb == "freeze":
            self.freeze()
        elif verb == "heal":
            self.heal()
        elif verb == "trap":
            told = dict(kv.split("=") for kv in line[1:])
            self.trap = Trap(told["kind"], Place(told["place"]))
            self.action, self.is_sprung = told["action"], False
        elif verb == "set":
            for kv in line[1:]:
                k, v = kv.split("=")
                if k not in ("rtt_ms", "mbit"):
                    break
                setattr(self, k, float(v))
        stats = {
            "up": self.up.bytes,
            "down": self.down.bytes,
            "conns": self.conns,
            "tries": self.tries,
            "rtt_ms": self.rtt_ms,
            "mbit": self.mbit,
            "cut": self.is_cut,
            "sprung": self.is_sprung,
        }
        w.write(json.dumps(stats).encode() + b"\n")
        await w.drain()
        w.close()


def addr(s: str) -> tuple[str, int]:
    host, _, port = s.rpartition(":")
    return host or "127.0.0.1", int(port)


async def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--listen", type=addr, required=True)
    p.add_argument("--to", type=addr, required=True)
    p.add_argument("--rtt-ms", type=float, default=0)
    p.add_argument("--mbit", type=float, default=0, help="0: as fast as the machine goes")
    p.add_argument("--control", type=addr)
    a = p.parse_args()
    relay = Relay(a.to, a.rtt_ms, a.mbit)
    servers = [await asyncio.start_server(relay.serve, *a.listen, limit=CHUNK)]
    if a.control:
        servers.append(await asyncio.start_server(relay.control, *a.control))
    await asyncio.gather(*(s.serve_forever() for s in servers))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
