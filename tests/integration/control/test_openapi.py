"""The OpenAPI document is served, whole, and true."""

import asyncio
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup

from relay_control.app import DOCUMENT_PATH
from relay_wire import problems

EXAMPLES = 60
"""For each operation."""
LEFT_OUT = {
    "positive_data_acceptance",  # valid requests are refused, too: for ids that do not exist
    "missing_required_header",
    "negative_data_rejection",  # unknown fields are skipped where the audio's bytes are the body
    "unsupported_method",  # CORS preflight, asked without an origin
}


async def test_it_is_served_to_everybody(open_rig) -> None:
    """And every route is in it."""
    async with open_rig(session_tokens=True, app_id="app", SPATIUS_API_KEY="vendor") as rig:
        rig.auth = {}
        status, document, _ = await rig.call("GET", DOCUMENT_PATH)

    assert (status, document["openapi"]) == (200, "3.1.0")
    assert {path: set(methods) for path, methods in document["paths"].items()} == {
        "/v1/conversations": {"post"},
        "/v1/conversations/{id}": {"get", "delete"},
        "/v1/conversations/{id}/turns": {"post"},
        "/v1/conversations/{id}/interrupt": {"post"},
        "/v1/conversations/{id}/tokens": {"post"},
        "/v1/conversations/{id}/audio": {"get"},
        "/v1/usage": {"get"},
        "/api/session-token": {"post"},
        "/session-token": {"post"},
    }
    shown = document["components"]["schemas"]["ConversationResponse"]
    assert shown["properties"]["state"]["enum"] == ["closing", "ended", "open"]
    listed = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert len(listed) == len(problems.REGISTRY)


async def test_the_root_points_to_it(open_rig) -> None:
    """It is the path that people open first, without a key: cached, and without a version."""
    async with open_rig() as rig:
        rig.auth = {}
        status, places, headers = await rig.call("GET", "/")

    assert (status, headers["Cache-Control"]) == (200, "public, max-age=3600")
    assert places == {
        "api": DOCUMENT_PATH,
        "health": "/healthz",
        "documentation": "docs/reference/control-api.md",
    }


@pytest.mark.timeout(300)
async def test_it_is_true(open_rig) -> None:
    """Schemathesis' requests, valid and not, with a conversation that is there and without: no server
    error, no status or body that is not in the document.
    """
    async with open_rig(key_requests_per_s=1e6, key_requests_burst=1_000_000) as rig:
        known = await rig.create()
        _, document, _ = await rig.call("GET", DOCUMENT_PATH)
        await asyncio.to_thread(probe_all, document, rig.url, rig.auth, known)


async def test_a_false_document_is_noticed(open_rig) -> None:
    """The probe is one: a status that is not in the document fails."""
    async with open_rig() as rig:
        _, document, _ = await rig.call("GET", DOCUMENT_PATH)
        paths = document["paths"]
        document["paths"] = {path: {"get": paths[path]["get"]} for path in ("/v1/conversations/{id}",)}
        del document["paths"]["/v1/conversations/{id}"]["get"]["responses"]["404"]
        with pytest.raises(FailureGroup, match="Undocumented status code"):
            await asyncio.to_thread(probe_all, document, rig.url, rig.auth, "x")


def probe_all(document: dict[str, Any], url: str, auth: dict[str, str], known: str) -> None:
    """Every operation."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    for operation in schema.get_all_operations():
        probe(operation.ok(), auth, known)


def probe(operation: Any, auth: dict[str, str], known: str) -> None:
    """Many requests of one operation."""
    checks = [check for name, check in _checks() if name not in LEFT_OUT]

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), database=None, derandomize=True,
    )  # fmt: skip
    def check(case: Any) -> None:
        if case.path_parameters and len(msgspec.json.encode(case.path_parameters)) % 2:
            case.path_parameters["id"] = known
        case.call_and_validate(headers=auth, checks=checks, timeout=10)

    check()


def _checks() -> list[tuple[str, Any]]:
    return [(check.__name__, check) for check in CHECKS.get_all()]
