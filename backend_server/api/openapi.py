"""What a call takes and answers, for the OpenAPI document.

Bodies are read and made by `bodies.py`, not by the framework, so each route says here what it
does: the Structs of `protocol` become schemas, whatever their encoding.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from litestar import Request, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)

from backend_server.protocol import (
    account_messages,
    commit_messages,
    transfer_messages,
    tree_messages,
)
from backend_server.protocol.errors import HTTP_STATUS, ErrorBody, ErrorCode

JSON: Final = "application/json"
_ANY_CALL: Final = (
    ErrorCode.MALFORMED,
    ErrorCode.METHOD_NOT_ALLOWED,
    ErrorCode.NOT_FOUND,
    ErrorCode.INTERNAL,
    ErrorCode.BUSY,
    ErrorCode.STORAGE_FULL,
)
_ANY_CALLER: Final = (
    ErrorCode.TOKEN_INVALID,
    ErrorCode.TOKEN_EXPIRED,
    ErrorCode.DEVICE_REVOKED,
    ErrorCode.FORBIDDEN,
)
_DESCRIBED: Final = (account_messages, tree_messages, transfer_messages, commit_messages)
_REF: Final = "#/components/schemas/{name}"
_BEARER: Final = "bearer"


def _schemas() -> dict[str, dict[str, Any]]:
    described: list[type] = [
        kind
        for module in _DESCRIBED
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    ]
    return msgspec.json.schema_components([*described, ErrorBody], ref_template=_REF)[1]


class _DocumentPlugin(JsonRenderPlugin):
    """Serves the document with the schemas of the protocol in it."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        components = {**openapi_schema.get("components", {}), "schemas": _schemas()}
        return super().render(request, {**openapi_schema, "components": components})

    def receive_router(self, router: Router) -> None:
        """Drop the page that the framework has for other paths here: it is not an `ErrorBody`."""
        router.routes[:] = [route for route in router.routes if "{" not in route.path]


def described(
    *,
    takes: type | None = None,
    takes_media: str = JSON,
    answers: type | None = None,
    answers_media: str = JSON,
    is_list: bool = False,
    is_open: bool = False,
    refuses: Iterable[ErrorCode] = (),
) -> type[Operation]:
    """Return the operation class of a route that takes and answers such bodies.

    Args:
        refuses: Codes beside those that every call may answer with (`_ANY_CALL`, `_ANY_CALLER`).
        takes: None with a media type other than JSON stands for a body of frames.
        is_list: The answer is an array of `answers`.
        is_open: No token is asked for.
    """

    class Described(Operation):
        def __init__(self, **fields: Any) -> None:
            super().__init__(**fields)
            if takes is not None or takes_media != JSON:
                self.request_body = RequestBody(content=_content(takes, takes_media), required=True)
            answer = OpenAPIResponse(description="Done")
            if answers is not None or answers_media != JSON:
                answer.content = _content(answers, answers_media, is_list=is_list)
            status = next(iter(self.responses or {"200": answer}))
            codes = {*_ANY_CALL, *refuses, *(() if is_open else _ANY_CALLER)}
            self.responses = {status: answer, **_refusals(codes)}
            self.security = [] if is_open else [{_BEARER: []}]

    return Described


def _refusals(codes: Iterable[ErrorCode]) -> dict[str, OpenAPIResponse]:
    by_status: dict[str, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault(str(HTTP_STATUS[code].value), []).append(code)
    return {
        status: OpenAPIResponse(
            description=f"Refused: {', '.join(same)}", content=_content(ErrorBody, JSON)
        )
        for status, same in sorted(by_status.items())
    }


def _content(
    kind: type | None, media: str, *, is_list: bool = False
) -> dict[str, OpenAPIMediaType]:
    schema: Schema | Reference
    if kind is None:
        schema = Schema(content_media_type=media, description="frames, see protocol/frames.py")
    else:
        schema = Reference(ref=_REF.format(name=kind.__name__))
    if is_list:
        schema = Schema(type=OpenAPIType.ARRAY, items=schema)
    return {media: OpenAPIMediaType(schema=schema)}


def openapi_config(version: str) -> OpenAPIConfig:
    """Return the settings of the document that is served at /schema/openapi.json."""
    return OpenAPIConfig(
        title="mountfs",
        version=version,
        path="/schema",
        use_handler_docstrings=True,
        # The document alone: pages that show it would load scripts from elsewhere.
        render_plugins=[_DocumentPlugin()],
        components=Components(
            security_schemes={_BEARER: SecurityScheme(type="http", scheme="bearer")},
        ),
    )
