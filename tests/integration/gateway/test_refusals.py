"""Refusals that an operator can correct leave a line in the log: what was refused, why, and the setting."""

from typing import Any

import pytest
from structlog.testing import capture_logs

CLIENTS = {"avatarkit_clients": True, "avatar_id": "ava"}


def refusals(lines: list[Any]) -> list[dict[str, Any]]:
    return [dict(line) for line in lines if line["event"] == "viewer refused"]


async def test_an_origin_is_named_with_its_setting(open_rig) -> None:
    """Once per interval, however many pages are refused; the socket is refused as before."""
    async with open_rig() as rig:
        with capture_logs() as lines:
            for _ in range(3):
                answer = await rig.refused(headers={"Origin": "http://localhost:5173"})
                assert answer == (403, "forbidden")

    [line] = refusals(lines)
    assert (line["log_level"], line["cause"]) == ("warning", "origin")
    assert (line["setting"], line["origin"]) == ("RELAY_ORIGINS", "http://localhost:5173")


async def test_a_long_origin_is_cut(open_rig) -> None:
    """A client decides how long it is."""
    async with open_rig() as rig:
        with capture_logs() as lines:
            await rig.refused(headers={"Origin": f"http://{'o' * 4000}"})

    assert len(refusals(lines)[0]["origin"]) == 200


async def test_a_token_is_logged_with_its_defect(open_rig) -> None:
    """Each defect with the setting that corrects it; never the token."""
    async with open_rig() as rig:
        tokens = {
            rig.token(key="o" * 40): ("its signature is not of the key", "RELAY_TOKEN_SECRET or"),
            rig.token(ttl_s=-60): ("it has expired", "RELAY_TOKEN_TTL_S"),
            rig.token(conversation="other"): ("for another conversation", None),
            "garbage": ("it cannot be read", None),
        }
        for token, (reason, setting) in tokens.items():
            with capture_logs() as lines:
                await rig.refused(headers={"Authorization": f"Bearer {token}"})
            [line] = refusals(lines)
            assert (line["cause"], line["log_level"]) == ("token", "warning")
            assert reason in line["reason"]
            assert (line.get("setting") or "").startswith(setting or "")
            assert token not in str(line)


@pytest.mark.parametrize(
    ("query", "setting"),
    [("", "RELAY_AVATARKIT_GUESTS"), ("?token=planted-secret", "RELAY_AVATARKIT_URL_TOKEN")],
)
async def test_the_vendors_clients_without_a_token(open_rig, query: str, setting: str) -> None:
    """The setting that would let them in is named; a token in the query is not."""
    async with open_rig(**CLIENTS) as rig:
        with capture_logs() as lines:
            assert await rig.refused(path=f"/ws/agent{query}", headers={}) == (401, "unauthorized")

    [line] = refusals(lines)
    assert line["setting"] == setting
    assert "planted" not in str(line)


async def test_a_proxy_that_has_dropped_the_upgrade(open_rig) -> None:
    """A handshake's key without its upgrade: the problem and the log line name the missing headers."""
    async with open_rig() as rig:
        url = rig.url.replace("ws", "http", 1) + rig.path
        with capture_logs() as lines:
            async with rig.http.get(url, headers={"Sec-WebSocket-Key": "x" * 22 + "=="}) as answer:
                problem = await answer.json(content_type="application/problem+json")
            async with rig.http.get(url) as plain:
                other = await plain.json(content_type="application/problem+json")

    assert (answer.status, plain.status) == (426, 426)
    assert "a proxy has removed headers" in problem["detail"]
    assert "Upgrade and Connection" in problem["detail"]
    assert other["detail"] == "connect with a WebSocket client"
    assert [line["reason"] for line in refusals(lines)] == [problem["detail"], other["detail"]]
    assert {line["cause"] for line in refusals(lines)} == {"upgrade"}


async def test_other_refusals_are_not_logged(open_rig) -> None:
    """They are for the client alone, and counted."""
    async with open_rig() as rig:
        with capture_logs() as lines:
            assert await rig.refused("garbage") == (400, "bad-position")

    assert refusals(lines) == []
