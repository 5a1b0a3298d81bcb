"""Session tokens of the vendor's, from the real stand-in of its Console API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from relay_auth.api_keys import Scope, new_key
from relay_auth.token_keys import secret_key
from relay_auth.viewer_tokens import Role, mint
from relay_runtime.http import listen
from relay_settings.simulator import SimulatorSettings
from relay_simulator.app import application

VENDOR_KEY = "planted-secret-of-the-vendor"
PATHS = ("/api/session-token", "/session-token")


@pytest.fixture
def direct(bench):
    """Control that serves session tokens, before a stand-in; and the stand-in's address."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[tuple[Any, str]]:
        stand_in = application(SimulatorSettings.load(simulator_accepted_key=VENDOR_KEY))
        async with listen(stand_in, "127.0.0.1", 0) as url:
            options = {
                "session_tokens": True, "SPATIUS_API_KEY": VENDOR_KEY, "app_id": "app",
                "SPATIUS_CONSOLE_ENDPOINT": f"{url}/v1/console", **settings,
            }  # fmt: skip
            async with bench(**options) as b:
                yield b, url

    return made


@pytest.mark.parametrize("path", PATHS)
async def test_a_token(direct, path: str) -> None:
    """As the vendor's demo clients read it; never the vendor's key."""
    async with direct(session_token_ttl_s=600) as (b, _):
        status, answer, headers = await b.call("POST", path, json={"appId": "ignored"})
        assert status == 200
        assert set(answer) == {"sessionToken", "expiredAt", "avatarId", "region", "appId"}
        assert answer["sessionToken"].startswith("simulated-")
        lives_s = (datetime.fromisoformat(answer["expiredAt"]) - datetime.now(UTC)).total_seconds()
        assert 550 < lives_s <= 600
        assert headers["Cache-Control"] == "no-store"
        assert VENDOR_KEY not in str(answer) + str(headers)


async def test_who_may(direct) -> None:
    """A key with the scope, or a viewer of a conversation; nobody else, and not too often."""
    text, pusher = new_key([Scope.PUSH])
    admin, known = new_key([Scope.ADMIN])
    secret = "k" * 40
    token, _ = mint(secret_key(secret.encode()), conversation="C", role=Role.LISTEN, ttl_s=60)
    forged, _ = mint(secret_key(b"x" * 40), conversation="C", role=Role.LISTEN, ttl_s=60)
    async with direct(RELAY_API_KEYS=f"{pusher},{known}", key_requests_per_s=0.001, key_requests_burst=2) as (
        b,
        _,
    ):
        b.auth = {}
        expected = [
            (200, admin), (200, token), (401, forged), (403, text), (401, "x"), (200, token), (429, token),
        ]  # fmt: skip
        for status, bearer in expected:
            headers = {"Authorization": f"Bearer {bearer}"}
            assert (await b.call("POST", PATHS[0], headers=headers))[0] == status, bearer[:6]
        assert (await b.call("POST", PATHS[0]))[0] == 401


@pytest.mark.parametrize("fault", ["http_401", "http_500", "errors_in_ok", "no_token", "html"])
async def test_the_vendor_fails(direct, fault: str) -> None:
    """502, and what the vendor said stays in the log; its key is in neither."""
    async with direct() as (b, url):
        async with b.http.post(f"{url}/admin/faults", json={"at": "token", "fault": fault}) as armed:
            assert armed.status < 300, await armed.text()
        with capture_logs() as logs:
            status, answer, _ = await b.call("POST", PATHS[0])
        assert (status, answer["type"]) == (502, "urn:avatar-relay:problem:vendor-failed")
        assert answer["error"] == "session_token_request_failed"
        assert VENDOR_KEY not in str(answer) + str(logs)
        assert any("no session token" in entry["event"] for entry in logs)


async def test_the_vendor_is_not_there(direct) -> None:
    """Nor does that hang."""
    async with direct(SPATIUS_CONSOLE_ENDPOINT="http://127.0.0.1:1/v1/console") as (b, _):
        assert (await b.call("POST", PATHS[0]))[0] == 502


async def test_closed_unless_opened(bench) -> None:
    """By name; and not without what it needs."""
    async with bench() as b:
        for path in PATHS:
            assert (await b.call("POST", path))[0] == 404
    with pytest.raises(Exception, match="RELAY_SESSION_TOKENS needs SPATIUS_API_KEY"):
        async with bench(session_tokens=True):
            pass
