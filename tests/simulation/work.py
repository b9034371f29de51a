"""Random work on several devices, and what of it may be gone.

Every write leaves a token of its own, which is a line. A token may go only when a device that could
see it wrote over it or removed it; all others must be in the tree at the end, in whatever file.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from mountfs.core.resolution import Keep
from mountfs.errors import FileSystemError, LocalStorageFull, SetupError
from mountfs.state.conflict_copies import find_conflict_copies
from mountfs.vfs.resolution import resolve_conflict
from simulation.world import Device, World

NAMES = ("a", "b", "c")
TEXT = "text"
"""Of many lines, which several edit: mostly in different places."""
FOLDERS = ("", "d/", "e/", "d/f/")

Action = Callable[[Device], Awaitable[None]]


class Work:
    """What was written, and which of it may be gone."""

    def __init__(self, world: World, devices: list[Device], chance: random.Random) -> None:
        self._world = world
        self._devices = devices
        self._chance = chance
        self._count = 0
        self.written: set[bytes] = set()
        self.given_up: set[bytes] = set()

    @property
    def actions(self) -> list[tuple[int, Action]]:
        """What a step may be, each with its weight."""
        return [
            (8, self._write), (3, self._remove), (4, self._rename), (2, self._make_folder),
            (1, self._remove_folder), (4, self._wait), (2, self._cut), (3, self._heal),
            (1, self._lose_answer), (1, self._kill), (2, self._save_by_rename),
            (8, self._edit_line), (1, self._link), (1, self._set_mode), (1, self._resolve),
            (1, self._cut_blocks),
        ]  # fmt: skip

    def _whose_turn(self) -> Device:
        return self._chance.choice(self._devices)

    async def step(self) -> None:
        device = self._whose_turn()
        actions = self.actions
        (action,) = self._chance.choices(
            [action for _, action in actions], [weight for weight, _ in actions]
        )
        # A name that is not there, or is taken: as any program may meet.
        with suppress(FileSystemError):
            await action(device)

    def _path(self) -> str:
        return self._chance.choice(FOLDERS) + self._chance.choice(NAMES)

    def _token(self, device: Device) -> bytes:
        self._count += 1
        return f"{device.name} {self._count}\n".encode()

    async def _write(self, device: Device) -> None:
        path, token = self._path(), self._token(device)
        old = await self._seen(device, path)
        await self._put(device, path, token, old)
        self.written.add(token)
        self.given_up |= old

    async def _edit_line(self, device: Device) -> None:
        """Insert a line, or put one in the place of another."""
        path, token = self._chance.choice((TEXT, TEXT, self._path())), self._token(device)
        lines = (await self._read(device, path)).splitlines(keepends=True)
        at = self._chance.randint(0, len(lines))
        replaced = lines[at : at + self._chance.randint(0, 1)]
        lines[at : at + len(replaced)] = [token]
        text = b"".join(lines)
        if self._chance.random() < 0.3:
            await device.write(path + ".tmp", text)
            # Where the disk is nearly full that took time, and others' lines came.
            self.given_up |= await self._seen(device, path) - set(lines)
            await device.rename(path + ".tmp", path)
        else:
            await self._put(device, path, text, {*lines, *replaced})
        self.written.add(token)
        self.given_up |= set(replaced)

    async def _put(self, device: Device, path: str, content: bytes, old: set[bytes]) -> None:
        """Write the file anew. On a full disk it is cut, and `old` gone, before that shows."""
        try:
            await device.write(path, content)
        except LocalStorageFull:
            self.given_up |= old
            raise

    async def _link(self, device: Device) -> None:
        await device.link(self._path(), self._path())

    async def _set_mode(self, device: Device) -> None:
        await device.chmod(self._path(), self._chance.choice((0o600, 0o644, 0o640)))

    async def _resolve(self, device: Device) -> None:
        found = find_conflict_copies(device.state)
        if not found:
            return
        conflict, keep = self._chance.choice(found), self._chance.choice(list(Keep))
        lost = {Keep.COPY: conflict.original, Keep.ORIGINAL: conflict.copy}.get(keep)
        path = device.state.tree.path_of(lost.node_id).decode() if lost else ""
        old = await self._seen(device, path) if path else set()
        with suppress(SetupError):  # some can be settled in other ways only
            await resolve_conflict(device.fs, conflict, keep)
            self.given_up |= old

    async def _cut_blocks(self, device: Device) -> None:
        device.transport.brings_no_blocks = not device.transport.brings_no_blocks

    async def _save_by_rename(self, device: Device) -> None:
        path, token = self._path(), self._token(device)
        await device.write(path + ".tmp", token)
        self.written.add(token)
        old = await self._seen(device, path)
        await device.rename(path + ".tmp", path)
        self.given_up |= old

    async def _remove(self, device: Device) -> None:
        path = self._path()
        old = await self._seen(device, path)
        await device.unlink(path)
        self.given_up |= old

    async def _rename(self, device: Device) -> None:
        path, to = self._path(), self._path()
        old = await self._seen(device, to)
        await device.rename(path, to)
        if path != to:
            self.given_up |= old

    async def _make_folder(self, device: Device) -> None:
        await device.mkdir(self._chance.choice(("d", "e", "d/f")))

    async def _remove_folder(self, device: Device) -> None:
        await device.rmdir(self._chance.choice(("d", "e", "d/f")))

    async def _wait(self, device: Device) -> None:
        await trio.sleep(self._chance.choice((0.01, 0.07, 0.3, 3)))

    async def _cut(self, device: Device) -> None:
        device.transport.is_cut = True

    async def _heal(self, device: Device) -> None:
        device.transport.is_cut = False

    async def _lose_answer(self, device: Device) -> None:
        device.transport.lose_answers = 1

    async def _kill(self, device: Device) -> None:
        if device.transport.is_cut:
            return  # this harness logs in again at start
        await device.kill()
        device.transport.is_cut = False
        await device.start()

    async def _read(self, device: Device, path: str) -> bytes:
        """Return what the device has there; what follows without an await happens to just that."""
        return await device.read(path)

    async def _seen(self, device: Device, path: str) -> set[bytes]:
        """What the device has there: its to give up."""
        try:
            return set((await self._read(device, path)).splitlines(keepends=True))
        except FileSystemError:
            return set()
