"""All routes in one ASGI application."""

from collections.abc import Set as AbstractSet
from typing import cast

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from backend_server.api.account import account_routes
from backend_server.api.blocks import block_routes
from backend_server.api.bodies import Bodies
from backend_server.api.commits import commit_routes
from backend_server.api.devices import device_routes
from backend_server.api.feed import feed_routes, poll_routes
from backend_server.api.manifests import manifest_routes
from backend_server.api.metrics import Metrics
from backend_server.api.observation import Observation
from backend_server.api.openapi import openapi_config
from backend_server.api.operations import operation_routes
from backend_server.api.refusals import EXCEPTION_HANDLERS
from backend_server.api.sessions import session_routes
from backend_server.api.uploads import upload_routes
from backend_server.api.use_cases import UseCases
from backend_server.config import Role


def build_application(
    use_cases: UseCases,
    *,
    roles: AbstractSet[Role],
    bodies: Bodies,
    metrics: Metrics,
    metrics_from_anywhere: bool,
    version: str,
) -> ASGIApp:
    """Return the application that serves `roles`. It has no lifespan of its own."""
    routes: list[HTTPRouteHandler] = operation_routes(
        use_cases.check_ready, metrics=metrics, metrics_from_anywhere=metrics_from_anywhere
    )
    if Role.API in roles:
        routes += session_routes(use_cases.log_in, bodies=bodies, metrics=metrics)
        routes += account_routes(use_cases)
        routes += device_routes(use_cases)
        routes += feed_routes(use_cases, bodies=bodies)
        routes += upload_routes(use_cases, bodies=bodies)
        routes += manifest_routes(use_cases, bodies=bodies)
        routes += commit_routes(use_cases, bodies=bodies)
    if Role.BLOCKS in roles:
        routes += block_routes(use_cases, bodies=bodies)
    if Role.NOTIFY in roles:
        routes += poll_routes(use_cases, bodies=bodies)
    litestar = Litestar(
        routes,
        openapi_config=openapi_config(version),
        exception_handlers=EXCEPTION_HANDLERS,
        logging_config=None,
        # Every route bounds its body itself, by what the protocol says.
        request_max_body_size=None,
    )
    return Observation(cast(ASGIApp, litestar), metrics)
