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
from relay_control.session_tokens import REQUESTS
from relay_runtime.http import listen
from relay_settings.simulator import SimulatorSettings
from relay_simulator.app import application

VENDOR_KEY = "planted-secret-of-the-vendor"
PATHS = ("/api/session-token", "/session-token")


@pytest.fixture
def direct(open_rig):
    """Control that serves session tokens, before a stand-in; and the stand-in's address."""

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[tuple[Any, str]]:
        stand_in = application(SimulatorSettings.load(simulator_accepted_key=VENDOR_KEY))
        async with listen(stand_in, "127.0.0.1", 0) as url:
            options = {
                "session_tokens": True, "SPATIUS_API_KEY": VENDOR_KEY, "app_id": "app",
                "SPATIUS_CONSOLE_ENDPOINT": f"{url}/v1/console", **settings,
            }  # fmt: skip
            async with open_rig(**options) as rig:
                yield rig, url

    return opened


@pytest.mark.parametrize("path", PATHS)
async def test_a_token(direct, path: str) -> None:
    """As the vendor's demo clients read it; never the vendor's key."""
    async with direct(session_token_ttl_s=600) as (rig, _):
        status, answer, headers = await rig.call("POST", path, json={"appId": "ignored"})
        assert status == 200
        assert set(answer) == {"sessionToken", "expiredAt", "avatarId", "region", "appId"}
        assert answer["sessionToken"].startswith("simulated-")
        lives_s = (datetime.fromisoformat(answer["expiredAt"]) - datetime.now(UTC)).total_seconds()
        assert 550 < lives_s <= 600
        assert headers["Cache-Control"] == "no-store"
        assert VENDOR_KEY not in str(answer) + str(headers)


def viewer(conversation: str, role: Role = Role.SPEAK, key: bytes = b"k" * 40) -> str:
    """A viewer token, as anybody with the key makes it."""
    token, _ = mint(secret_key(key), conversation=conversation, role=role, ttl_s=60)
    return token


async def ask(rig: Any, bearer: str) -> int:
    status, _, _ = await rig.call("POST", PATHS[0], headers={"Authorization": f"Bearer {bearer}"})
    assert isinstance(status, int)
    return status


async def test_who_may(direct) -> None:
    """A key with the scope, or a viewer that may speak; no other caller."""
    text, pusher = new_key([Scope.PUSH])
    admin, known = new_key([Scope.ADMIN])
    async with direct(RELAY_API_KEYS=f"{pusher},{known}") as (rig, _):
        rig.auth = {"Authorization": f"Bearer {admin}"}
        conversation = await rig.create()
        rig.auth = {}
        expected = [
            (200, admin), (200, viewer(conversation)), (403, viewer(conversation, Role.LISTEN)),
            (401, viewer(conversation, key=b"x" * 40)), (403, text), (401, "x"),
        ]  # fmt: skip
        for status, bearer in expected:
            assert await ask(rig, bearer) == status, bearer[:6]
        assert (await rig.call("POST", PATHS[0]))[0] == 401


async def test_keys_are_limited(direct) -> None:
    """As for every request of theirs."""
    admin, known = new_key([Scope.ADMIN])
    async with direct(RELAY_API_KEYS=f"{known}", key_requests_per_s=0.001, key_requests_burst=2) as (rig, _):
        assert [await ask(rig, admin) for _ in range(3)] == [200, 200, 429]


async def test_viewers_of_one_conversation_are_limited(direct) -> None:
    """With whatever tokens: each is a billed session. Another conversation is not concerned."""
    async with direct(session_tokens_per_minute=0.001, session_tokens_burst=3) as (rig, _):
        conversation, other = await rig.create(), await rig.create()
        tokens = [viewer(conversation) for _ in range(4)]
        assert [await ask(rig, token) for token in tokens] == [200, 200, 200, 429]
        assert await ask(rig, viewer(other)) == 200


async def test_tokens_end_with_their_conversation(direct) -> None:
    """410 from the moment it is to end, 404 for one that never was; nothing is asked of the vendor."""
    async with direct() as (rig, _):
        conversation = await rig.create()
        assert await ask(rig, viewer(conversation)) == 200
        await rig.call("DELETE", f"/v1/conversations/{conversation}")
        made = REQUESTS.labels("made")._value.get()
        assert await ask(rig, viewer(conversation)) == 410
        assert await ask(rig, viewer("nobody")) == 404
        assert await ask(rig, viewer("a\nb")) in (401, 404)
        assert REQUESTS.labels("made")._value.get() == made


async def test_listeners_by_a_setting(direct) -> None:
    """For pages that only show the avatar."""
    async with direct(session_tokens_for_listeners=True) as (rig, _):
        assert await ask(rig, viewer(await rig.create(), Role.LISTEN)) == 200


@pytest.mark.parametrize("fault", ["http_401", "http_500", "errors_in_ok", "no_token", "html"])
async def test_the_vendor_fails(direct, fault: str) -> None:
    """502; the cause is in the log only, and the API key in neither."""
    async with direct() as (rig, url):
        async with rig.http.post(f"{url}/admin/faults", json={"at": "token", "fault": fault}) as armed:
            assert armed.status < 300, await armed.text()
        with capture_logs() as logs:
            status, answer, _ = await rig.call("POST", PATHS[0])
        assert (status, answer["type"]) == (502, "urn:avatar-relay:problem:vendor-failed")
        assert answer["error"] == "session_token_request_failed"
        assert VENDOR_KEY not in str(answer) + str(logs)
        assert any(entry["event"] == "session token request failed" for entry in logs)


async def test_the_vendor_is_not_there(direct) -> None:
    """Nor does that hang."""
    async with direct(SPATIUS_CONSOLE_ENDPOINT="http://127.0.0.1:1/v1/console") as (rig, _):
        assert (await rig.call("POST", PATHS[0]))[0] == 502


async def test_closed_unless_opened(open_rig) -> None:
    """By name; and not without what it needs."""
    async with open_rig() as rig:
        for path in PATHS:
            assert (await rig.call("POST", path))[0] == 404
    with pytest.raises(Exception, match="RELAY_SESSION_TOKENS needs SPATIUS_API_KEY"):
        async with open_rig(session_tokens=True):
            pass
