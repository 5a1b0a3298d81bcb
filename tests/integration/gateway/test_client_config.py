"""The URLs that the vendor's clients derive from the one they are configured with (facts, corrections)."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from tests.rigs.gateway import KEY, GatewayRig

from relay_auth.viewer_tokens import Role
from relay_streams import conversations

OPTIONS: dict[str, Any] = {"avatarkit_clients": True, "avatarkit_url_token": True, "avatar_id": "of-guests"}
SOCKET = "/ws/agent"


def of_the_web(configured: str) -> tuple[str, str, str]:
    """Configured with the socket's URL; the base is what is before its end."""
    base = configured.removesuffix(SOCKET).replace("ws", "http", 1)
    return configured, f"{base}/api/config", f"{base}/healthz"


def of_an_app(configured: str) -> tuple[str, str, str]:
    """Configured with a base, with or without a slash or the socket's path at its end."""
    base = configured.rstrip("/").removesuffix(SOCKET)
    http = base.replace("ws", "http", 1)
    return f"{base}{SOCKET}", f"{http}/api/config", f"{http}/healthz"


CLIENTS = [
    (of_the_web, "{base}/ws/agent"),
    (of_an_app, "{base}"),
    (of_an_app, "{base}/"),
    (of_an_app, "{base}/ws/agent"),
]


@pytest.mark.parametrize(("derive", "configured"), CLIENTS)
async def test_a_client_with_a_token(
    open_rig, eventually, derive: Callable[[str], tuple[str, str, str]], configured: str
) -> None:
    """It loads the avatar and the rate of the token's conversation, its health, and opens the socket."""
    async with open_rig(**OPTIONS) as rig:
        await eventually(lambda: not rig.service.readiness())
        socket_url, config_url, health_url = derive(
            configured.format(base=f"{rig.url}/c/{rig.token(role=Role.LISTEN)}")
        )
        record = await conversations.read(rig.service._client, rig.keys)
        async with rig.http.get(config_url) as answer:
            config = await answer.json()
            assert answer.headers.getall("Access-Control-Allow-Origin") == ["*"]
        async with rig.http.get(health_url) as answer:
            assert (answer.status, await answer.json()) == (200, {"ok": True, "missing": []})
        async with rig.http.ws_connect(socket_url) as socket:
            ready = await socket.receive_json(timeout=5)

    assert (config["avatarId"], config["inputSampleRate"]) == (record.avatar_id, record.sample_rate)
    assert ready["sessionId"] == rig.keys.id
    assert ready["avatar"]["avatarId"] == record.avatar_id


async def test_a_guest_reads_the_guests_avatar(open_rig) -> None:
    """Without a token, as before; with the clips and what else older generations read."""
    async with (
        open_rig(avatarkit_clips="hello, bye", region="cn-beijing", **OPTIONS) as rig,
        rig.http.get(f"{http(rig)}/api/config") as answer,
    ):
        config = await answer.json()

    assert config["avatarId"] == "of-guests"
    assert config["environment"] == "cn"
    assert config["clips"] == [{"name": "hello", "clip": "hello"}, {"name": "bye", "clip": "bye"}]
    assert config["clipsHint"] == ""


@pytest.mark.parametrize(
    ("key", "conversation", "status"),
    [("x" * 40, None, 401), (KEY, "01JDNONE", 404)],
)
async def test_a_token_that_does_not_hold(open_rig, key: str, conversation: str | None, status: int) -> None:
    """Pages can read why; no log line has the token."""
    async with open_rig(**OPTIONS) as rig:
        token = rig.token(key=key, **({"conversation": conversation} if conversation else {}))
        with capture_logs() as lines:
            async with rig.http.get(f"{http(rig)}/c/{token}/api/config") as answer:
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await rig.http.ws_connect(f"{rig.url}/c/{token}/ws/agent")
        assert refused.value.status == status
        assert token not in str(lines)


async def test_no_token_in_a_url_unless_it_is_allowed_by_name(open_rig) -> None:
    """The prefix is refused, for guests too, and the log names the setting."""
    async with open_rig(avatarkit_clients=True, avatarkit_guests=True, avatar_id="ava") as rig:
        with capture_logs() as lines:
            refusal = await rig.refused(path=f"/c/{rig.token()}/ws/agent", headers={})
        assert refusal == (401, "unauthorized")
    [line] = [line for line in lines if line["event"] == "viewer refused"]
    assert line["setting"] == "RELAY_AVATARKIT_URL_TOKEN"


async def test_a_defect_is_logged_without_the_token(open_rig, monkeypatch) -> None:
    """The path of the line has stars in the token's place."""
    async with open_rig(**OPTIONS) as rig:

        async def defective(*_: object) -> None:
            raise RuntimeError("a defect")

        monkeypatch.setattr("relay_gateway.avatarkit.conversations.read", defective)
        token = rig.token()
        with capture_logs() as lines:
            async with rig.http.get(f"{http(rig)}/c/{token}/api/config") as answer:
                assert answer.status == 500
    [line] = [line for line in lines if line["event"] == "request failed"]
    assert line["path"] == "/c/***/api/config"


def http(rig: GatewayRig) -> str:
    return rig.url.replace("ws", "http", 1)
