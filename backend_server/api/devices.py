"""/v1/devices: the devices of an account."""

from typing import Any

from litestar import Request, Response, delete, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from backend_server.api.authentication import caller_of
from backend_server.api.bodies import answer_json
from backend_server.api.openapi import described
from backend_server.api.use_cases import UseCases
from backend_server.protocol.account_messages import DeviceInfo
from backend_server.protocol.identity import DeviceId


def device_routes(use_cases: UseCases) -> list[HTTPRouteHandler]:
    """Return the routes of devices."""

    @get("/v1/devices", operation_class=described(answers=DeviceInfo, is_list=True))
    async def list_devices(request: Request[Any, Any, Any]) -> Response[bytes]:
        """List the caller's devices, oldest first."""
        caller = await caller_of(request, use_cases.authenticate)
        return answer_json(await use_cases.list_devices(caller))

    @delete("/v1/devices/{device_id:int}", status_code=204, operation_class=described())
    async def revoke_device(request: Request[Any, Any, Any], device_id: FromPath[int]) -> None:
        """Revoke a device: its token is worthless from now on."""
        caller = await caller_of(request, use_cases.authenticate)
        await use_cases.revoke_device(caller, DeviceId(device_id))

    return [list_devices, revoke_device]
