"""What an administrator asks of a running server."""

from dataclasses import replace

import httpx
import structlog
import structlog.testing

from backend_server.config import Role, ServerConfig
from backend_server.protocol.errors import ErrorCode
from server_kit import (
    EMAIL,
    PASSWORD,
    UPLOAD,
    World,
    code_of,
    config,
    open_world,
    prepared_config,
    world,
)

__all__ = ["config", "prepared_config", "world"]


async def test_health_readiness_metrics_and_description(world: World) -> None:
    await world.log_in()
    await world.try_log_in(password="wrong")
    assert (await world.http.get("/health")).json() == {"status": "ok"}
    assert (await world.http.get("/health/ready")).status_code == 200
    metrics = (await world.http.get("/metrics")).text
    assert 'mountfs_log_ins_total{outcome="wrong_password"} 1.0' in metrics
    assert 'path="/v1/sessions",status="401"' in metrics
    document = (await world.http.get("/schema/openapi.json")).json()
    assert "/v1/drives/{drive_id}/commits" in document["paths"]
    assert "CommitRequest" in document["components"]["schemas"]


async def test_metrics_are_for_this_machine(world: World) -> None:
    transport = httpx.ASGITransport(world.server.asgi, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as stranger:
        assert code_of(await stranger.get("/metrics")) is ErrorCode.FORBIDDEN
        assert (await stranger.get("/health")).status_code == 200


async def test_a_server_that_cannot_work_is_not_ready(config: ServerConfig) -> None:
    config = replace(config, free_bytes_min=1 << 60)
    async with open_world(config) as world:
        answer = await world.http.get("/health/ready")
        assert code_of(answer) is ErrorCode.STORAGE_FULL
        assert (await world.http.get("/health")).status_code == 200


async def test_every_answer_has_an_id_and_tells_browsers_to_keep_off(world: World) -> None:
    for path in ("/health", "/v1/nowhere"):
        headers = (await world.http.get(path)).headers
        assert len(headers["x-request-id"]) == 16
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


async def test_a_process_serves_only_its_roles(config: ServerConfig) -> None:
    async with open_world(replace(config, roles=frozenset({Role.API}))) as world:
        device = await world.log_in()
        assert code_of(await device.post("/v1/changes/poll", b"")) is ErrorCode.NOT_FOUND
        assert code_of(await device.send(b"x")) is ErrorCode.NOT_FOUND


async def test_logs_tell_of_every_request_and_of_no_secret(world: World) -> None:
    with structlog.testing.capture_logs() as lines:
        device = await world.log_in()
        await world.try_log_in(password="a wrong password")
        await device.commit(device.create(1, b"a secret name", device.inline(b"a secret content")))
        await device.send(b"x" * 1000)
        await device.get(device.path("changes"), cursor="a-secret-cursor")
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("POST", "/v1/sessions", 200),
        ("GET", "/v1/account", 200),
        ("POST", "/v1/sessions", 401),
        ("POST", "/v1/drives/{drive_id}/commits", 200),
        ("POST", "/v1/drives/{drive_id}/blocks", 200),
        ("GET", "/v1/drives/{drive_id}/changes", 410),
    ]
    assert all(line["ms"] >= 0 and line["bytes_out"] > 0 for line in lines)
    everything = str(lines)
    for secret in ("secret", "password", PASSWORD, EMAIL, device.session.token, UPLOAD.hex()):
        assert secret not in everything
