"""Passwords and tokens: bounded work, and nothing kept that opens anything."""

import threading

import pytest
import trio
import trio.testing
from argon2 import PasswordHasher

from backend_server.blocks.worker_threads import InlineThreads, WorkerThreads
from backend_server.domain.refusals import Refusal
from backend_server.protocol.errors import ErrorCode
from backend_server.services.emails import normalize_email
from backend_server.services.passwords import WAITING_MAX, Passwords
from backend_server.services.tokens import new_token, token_hash_of

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


async def test_a_password_matches_its_hash_only() -> None:
    passwords = Passwords(CHEAP, threads=InlineThreads())
    made = await passwords.hash("correct horse")
    assert made.startswith("$argon2id$")
    assert "correct" not in made
    assert await passwords.matches(made, "correct horse")
    assert not await passwords.matches(made, "correct horse ")
    assert not await passwords.matches(None, "nobody's password")
    assert not await passwords.matches("not a hash", "correct horse")
    assert not await passwords.matches(made, "x" * 100_000)


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
async def test_too_short_and_too_long_passwords_are_refused(password: str) -> None:
    with pytest.raises(Refusal) as refused:
        await Passwords(CHEAP, threads=InlineThreads()).hash(password)
    assert refused.value.code is ErrorCode.MALFORMED


async def test_only_so_many_hashes_wait() -> None:
    go_on = threading.Event()

    class BlockedHasher(PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            assert go_on.wait(60)
            return super().hash(password, salt=salt)

    hasher = BlockedHasher(time_cost=1, memory_cost=8, parallelism=1)
    passwords = Passwords(hasher, threads=WorkerThreads("passwords", 1))
    made: list[str] = []

    async def make() -> None:
        made.append(await passwords.hash("long enough"))

    async with trio.open_nursery() as nursery:
        for _ in range(WAITING_MAX):
            nursery.start_soon(make)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Refusal) as refused:
            await passwords.hash("long enough")
        go_on.set()
    assert refused.value.code is ErrorCode.BUSY
    assert len(made) == WAITING_MAX


def test_tokens_are_long_distinct_and_kept_as_digests() -> None:
    tokens = {new_token() for _ in range(100)}
    hashes = {token_hash_of(token) for token in tokens}
    assert len(tokens) == len(hashes) == 100
    assert None not in hashes
    for wrong in ("", "mfs_", new_token() + "A", "abc_" + new_token()[4:], "mfs_" + "é" * 43):
        assert token_hash_of(wrong) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Ada@Example.ORG ", "ada@example.org"),
        ("a@b", "a@b"),
        ('"odd@local"@b', '"odd@local"@b'),
        ("", None),
        ("ada", None),
        ("@b", None),
        ("a@", None),
        ("a b@c", None),
        ("a\x00@b", None),
        ("a" * 250 + "@b.org", None),
    ],
)
def test_addresses_name_accounts(text: str, name: str | None) -> None:
    assert normalize_email(text) == name
