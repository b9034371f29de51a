"""Log-in, tokens and devices, over the whole server in process."""

import os

import msgspec
from argon2 import PasswordHasher

from backend_server.app import in_process_seams, open_server
from backend_server.config import ServerConfig
from backend_server.protocol.account_messages import DeviceInfo
from backend_server.protocol.chunking import ChunkerParameters
from backend_server.protocol.commit_messages import CommitRequest
from backend_server.protocol.errors import ErrorBody, ErrorCode
from backend_server.protocol.transfer_messages import (
    FetchGroup,
    FetchRequest,
    ManifestsRequest,
    UploadRequest,
    WantedChunk,
)
from backend_server.services.log_in import LogInLimits
from backend_server.services.rate_limit import Allowance
from backend_server.services.tokens import DAY_MS, TOKEN_IDLE_MS_MAX
from server_kit import (
    EMAIL,
    NODE,
    PASSWORD,
    UPLOAD,
    Clock,
    World,
    code_of,
    config,
    open_world,
    prepared_config,
    world,
)

__all__ = ["config", "prepared_config", "world"]


async def test_a_device_logs_in_and_learns_its_drive(world: World) -> None:
    device = await world.log_in("  Ada@Example.org ")
    assert device.account.email == EMAIL
    assert device.account.device_name == "a laptop"
    assert device.account.server_time_ms == world.clock.now_ms
    assert device.drive.root_node == 1
    assert device.drive.chunker == ChunkerParameters()
    assert len(device.drive.chunk_key) == 32


async def test_a_wrong_password_and_an_unknown_email_get_the_same_answer(world: World) -> None:
    wrong = await world.try_log_in(password="wrong")
    unknown = await world.try_log_in(email="nobody@example.org")
    nonsense = await world.try_log_in(email="")
    assert code_of(wrong) is ErrorCode.WRONG_PASSWORD
    assert wrong.content == unknown.content == nonsense.content
    assert wrong.headers["www-authenticate"] == "Bearer"


async def test_an_unknown_email_costs_as_many_hashes_as_a_wrong_password(
    config: ServerConfig,
) -> None:
    class CountingHasher(PasswordHasher):
        verified: list[str]

        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
            self.verified.append(str(password))
            return super().verify(hash, password)

    hasher = CountingHasher(time_cost=1, memory_cost=8, parallelism=1)
    hasher.verified = []
    seams = in_process_seams(hasher=lambda: hasher)
    async with open_server(config, seams=seams) as server:
        await server.create_account(EMAIL, PASSWORD)
        world = World(server, Clock(), None)
        async with world.http:
            await world.try_log_in(password="wrong password")
            await world.try_log_in(email="nobody@example.org", password="some password")
    assert hasher.verified == ["wrong password", "some password"]


async def test_guessing_is_slowed_down_per_email_and_per_address(config: ServerConfig) -> None:
    limits = LogInLimits(
        per_email=Allowance(tries_max=2, refill_s=30.0),
        per_address=Allowance(tries_max=4, refill_s=10.0),
    )
    async with open_world(config, limits=limits) as world:
        for _ in range(5):  # honest log-ins use nothing up
            await world.log_in()
        answers = [await world.try_log_in(password="wrong") for _ in range(3)]
        assert [code_of(answer) for answer in answers] == [
            ErrorCode.WRONG_PASSWORD,
            ErrorCode.WRONG_PASSWORD,
            ErrorCode.RATE_LIMITED,
        ]
        refused = msgspec.json.decode(answers[-1].content, type=ErrorBody)
        assert 0 < refused.retry_after_s <= 30.0
        assert int(answers[-1].headers["retry-after"]) >= refused.retry_after_s
        # The right password is refused too, or guessing would go on.
        assert code_of(await world.try_log_in()) is ErrorCode.RATE_LIMITED
        world.clock.now_ms += 30_000
        await world.log_in()
        for number in range(4):
            await world.try_log_in(email=f"{number}@example.org")
        assert code_of(await world.try_log_in(email="9@example.org")) is ErrorCode.RATE_LIMITED


async def test_a_token_is_asked_for_and_checked(world: World) -> None:
    device = await world.log_in()
    for headers in (
        {},
        {"authorization": "Basic " + device.session.token},
        {"authorization": "Bearer "},
        {"authorization": "Bearer mfs_" + "A" * 43},
        {"authorization": f"Bearer {device.session.token[:-1]}"},
    ):
        answer = await world.http.get("/v1/account", headers=headers)
        assert code_of(answer) is ErrorCode.TOKEN_INVALID
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_lives_while_it_is_used_and_expires_when_idle(world: World) -> None:
    device = await world.log_in()
    for _ in range(5):
        world.clock.now_ms += TOKEN_IDLE_MS_MAX - DAY_MS
        assert (await device.get("/v1/account")).status_code == 200
    world.clock.now_ms += TOKEN_IDLE_MS_MAX
    assert code_of(await device.get("/v1/account")) is ErrorCode.TOKEN_EXPIRED


async def test_a_revoked_device_is_out_at_once_and_others_stay(world: World) -> None:
    first, second = await world.log_in(), await world.log_in()
    listed = msgspec.json.decode((await first.get("/v1/devices")).content, type=list[DeviceInfo])
    assert [device.is_current for device in listed] == [True, False]
    path = f"/v1/devices/{second.session.device_id}"
    assert (await first.delete(path)).status_code == 204
    assert (await first.delete(path)).status_code == 204
    for path in ("/v1/account", "/v1/devices", second.path("snapshot")):
        assert code_of(await second.get(path)) is ErrorCode.DEVICE_REVOKED
    assert (await first.get("/v1/account")).status_code == 200


async def test_nobody_revokes_devices_of_others(world: World) -> None:
    await world.server.create_account("bob@example.org", PASSWORD)
    ada, bob = await world.log_in(), await world.log_in("bob@example.org")
    path = f"/v1/devices/{ada.session.device_id}"
    assert code_of(await bob.delete(path)) is ErrorCode.NOT_FOUND
    assert code_of(await bob.delete("/v1/devices/99999")) is ErrorCode.NOT_FOUND
    assert (await ada.get("/v1/account")).status_code == 200


async def test_a_drive_of_others_does_not_exist(world: World) -> None:
    await world.server.create_account("bob@example.org", PASSWORD)
    ada, bob = await world.log_in(), await world.log_in("bob@example.org")
    content = os.urandom(100_000)
    assert (await ada.send(content)).status_code == 200
    hers = ada.drive.drive_id
    wanted = FetchRequest([FetchGroup(NODE, 1, [WantedChunk(ada.chunk_id(content))])])
    for drive_id in (hers, "0" * 16, "nonsense"):
        answers = [
            await bob.get(bob.path("snapshot", drive_id)),
            await bob.get(bob.path("changes", drive_id), cursor="x"),
            await bob.post(bob.path("uploads", drive_id), UploadRequest(UPLOAD, NODE, 0, 0, [])),
            await bob.post(bob.path(f"blocks?upload={UPLOAD.hex()}", drive_id), b""),
            await bob.post(bob.path("blocks/fetch", drive_id), wanted),
            await bob.post(bob.path("manifests/fetch", drive_id), ManifestsRequest([])),
            await bob.post(bob.path("commits", drive_id), CommitRequest(0, [])),
        ]
        assert {code_of(answer) for answer in answers} == {ErrorCode.NOT_FOUND}
    # Nor does her chunk in his own drive, though he knows its id.
    assert (await bob.fetch(WantedChunk(ada.chunk_id(content))))[0][0].error == "missing"
