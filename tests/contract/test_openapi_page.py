"""The OpenAPI page tells the truth: schemathesis makes requests from it and holds answers to it.

The calls that travel as msgpack or frames are held against any bytes in
`property/test_hostile_requests.py`; here are those that a browser or a script can make.
"""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from backend_server.config import ServerConfig
from hostile_requests import Attacked, Prepared, prepare_folder
from server_kit import UNREAD_BODY, prepared_config

__all__ = ["prepared_config"]

pytestmark = UNREAD_BODY

PAGE = "/schema/openapi.json"
JSON_CALLS = [
    "GET /health", "GET /health/ready", "GET /metrics", "POST /v1/sessions", "GET /v1/account",
    "GET /v1/devices", "DELETE /v1/devices/{device_id}", "GET /v1/drives/{drive_id}/snapshot",
    "GET /v1/drives/{drive_id}/changes", "GET /v1/drives/{drive_id}/blocks/lost",
    "POST /v1/changes/poll",
]  # fmt: skip
Operation = APIOperation[Any, Any, Any, Any]
HELD = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "negative_data_rejection",
    "unsupported_method", "allow_header_conformance",
]  # fmt: skip


@pytest.fixture(scope="module")
def prepared(prepared_config: ServerConfig) -> Prepared:
    return prepare_folder(prepared_config)


def calls_of_page(attacked: Attacked) -> list[Operation]:
    page = schemathesis.openapi.from_asgi(PAGE, attacked.server.asgi)
    calls = []
    for found in page.get_all_operations():
        assert isinstance(found, Ok), found
        calls.append(found.ok())
    return calls


@pytest.mark.parametrize("label", JSON_CALLS)
def test_requests_made_from_the_page_are_answered_as_it_says(
    prepared: Prepared, tmp_path: Path, label: str
) -> None:
    with prepared.attacked(tmp_path) as attacked:
        [call] = [call for call in calls_of_page(attacked) if call.label == label]

        @seed(1)
        @settings(
            max_examples=max(1, settings().max_examples // 4),
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=call.as_strategy())
        def ask(case: Any) -> None:
            case.call_and_validate(
                headers=attacked.ada.headers, checks=[CHECKS.get_one(name) for name in HELD]
            )

        ask()
        attacked.check_facts()


def test_the_page_has_every_call_and_every_status(prepared: Prepared, tmp_path: Path) -> None:
    with prepared.attacked(tmp_path) as attacked:
        calls = calls_of_page(attacked)
    others = {call.label for call in calls} - set(JSON_CALLS)
    assert len(others) + len(JSON_CALLS) == len(calls)
    for call in calls:
        assert "default" not in call.definition.raw["responses"]
        media = {body.media_type for body in call.body}
        assert ("application/json" in media or not media) == (call.label in JSON_CALLS)
