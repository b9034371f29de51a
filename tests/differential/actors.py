"""Processes of several users that make calls in one folder, each with handles of its own."""

import errno
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from differential.calls import Call, Desk

ANSWER_TIMEOUT_S: Final = 60.0
_END: Final = None


@dataclass(frozen=True)
class User:
    """Who makes calls: the first of `groups` is the gid."""

    uid: int
    groups: tuple[int, ...]


@dataclass(frozen=True)
class Refused:
    """The call failed."""

    errno: int

    def __repr__(self) -> str:
        return errno.errorcode.get(self.errno, str(self.errno))


class Actor:
    """One process of `user` at a time, in whatever folder `enter` names."""

    def __init__(self, user: User) -> None:
        self.user = user
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, user), daemon=True)
        self._process.start()
        theirs.close()

    def enter(self, folder: Path) -> None:
        """Close everything and make `folder` the one that paths are below."""
        self._ask(folder)

    def make(self, call: Call) -> object:
        """Return what the call answered, a `Refused` if it failed."""
        return self._ask(call)

    def end(self) -> None:
        self._ours.send(_END)
        self._process.join(10)
        self._process.kill()

    def _ask(self, request: Call | Path) -> object:
        self._ours.send(request)
        assert self._ours.poll(ANSWER_TIMEOUT_S), f"no answer to {request}"
        return self._ours.recv()


def _serve(requests: "Connection[object, object]", user: User) -> None:
    """Make the calls that come, until the end. Runs in the actor's process."""
    os.umask(0)
    if os.getuid() == 0:
        os.setgroups(user.groups)
        os.setresgid(user.groups[0], user.groups[0], user.groups[0])
        os.setresuid(user.uid, user.uid, 0)
    desk = Desk()
    while True:
        try:
            request = requests.recv()
        except EOFError:
            return
        if request is _END:
            desk.close_all()
            return
        assert isinstance(request, Path) or hasattr(request, "make"), request
        if isinstance(request, Path):
            desk.close_all()
            _enter(request, user)
            requests.send(None)
            continue
        try:
            answer = request.make(desk)
        except OSError as error:
            answer = Refused(error.errno or 0)
        requests.send(answer)


def _enter(folder: Path, user: User) -> None:
    """Go to `folder` as the test's own user: what is above it need not be open to others."""
    _, _, saved_uid = os.getresuid()
    os.seteuid(saved_uid)
    os.chdir(folder)
    os.seteuid(user.uid)


@contextmanager
def actors_of(users: tuple[User, ...]) -> Iterator[list[Actor]]:
    """Start an actor for each user, and end them all."""
    with ExitStack() as at_end:
        made = []
        for user in users:
            actor = Actor(user)
            at_end.callback(actor.end)
            made.append(actor)
        yield made
