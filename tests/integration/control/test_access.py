"""Access: keys with scopes, rates and limits; a refused request has no effect on other keys."""

import asyncio
from urllib.parse import urlsplit

import pytest

from relay_auth.api_keys import Scope, new_key
from relay_control.access import REFUSED
from relay_settings.base import SettingsError


def refused(reason: str) -> float:
    return REFUSED.labels(reason)._value.get()


@pytest.mark.parametrize(
    ("scope", "method", "path", "allowed"),
    [
        (Scope.CREATE, "POST", "/v1/conversations", 201),
        (Scope.CREATE, "GET", "/v1/conversations/{id}", 200),
        (Scope.CREATE, "DELETE", "/v1/conversations/{id}", 202),
        (Scope.PUSH, "POST", "/v1/conversations/{id}/turns", 202),
        (Scope.PUSH, "POST", "/v1/conversations/{id}/interrupt", 202),
        (Scope.PUSH, "GET", "/v1/conversations/{id}/audio", 426),
        (Scope.TOKENS, "POST", "/v1/conversations/{id}/tokens", 201),
    ],
)
async def test_scopes(open_rig, scope: Scope, method: str, path: str, allowed: int) -> None:
    """Each operation asks for one; admin has them all, and the refusal names what is missing."""
    keys = {each: new_key([each]) for each in Scope}
    entries = ",".join(str(known) for _, known in keys.values())
    async with open_rig(RELAY_API_KEYS=entries) as rig:
        rig.auth = {"Authorization": f"Bearer {keys[Scope.ADMIN][0]}"}
        path = path.format(id=await rig.create())
        before = refused("scope")
        for each, (text, _) in keys.items():
            headers = {"X-API-Key": text, "Authorization": "", "Content-Type": "audio/pcm"}
            body = b"\1\2" if path.endswith("turns") else b""
            status, answer, _ = await rig.call(method, path, headers=headers, data=body)
            if each in (scope, Scope.ADMIN):
                assert status in (allowed, 410)
            else:
                assert (status, answer["scope"]) == (403, scope.value)
        assert refused("scope") == before + 2


async def test_too_fast(open_rig) -> None:
    """429 with the time to wait, for this key only."""
    async with open_rig(key_requests_per_s=0.01, key_requests_burst=2) as rig:
        for _ in range(2):
            assert (await rig.call("GET", "/v1/conversations/x"))[0] == 404
        status, answer, headers = await rig.call("GET", "/v1/conversations/x")
        assert (status, answer["type"]) == (429, "urn:avatar-relay:problem:rate-limited")
        assert 90 <= int(headers["Retry-After"]) <= 100
        other = {"Authorization": f"Bearer {rig.other_key}"}
        assert (await rig.call("GET", "/v1/conversations/x", headers=other))[0] == 404


async def test_too_many_conversations(open_rig) -> None:
    """Those that have not ended count, for the key that made them."""
    async with open_rig(key_conversations=2) as rig:
        first, _ = await rig.create(), await rig.create()
        status, answer, headers = await rig.call("POST", "/v1/conversations")
        assert (status, answer["type"]) == (429, "urn:avatar-relay:problem:too-many-conversations")
        assert headers["Retry-After"] == "10"
        other = {"Authorization": f"Bearer {rig.other_key}"}
        assert (await rig.call("POST", "/v1/conversations", headers=other))[0] == 201

        keys = rig.store.keys.conversation(first)
        lease = await rig.store.claim(keys)
        assert lease.conversation.creator
        assert await rig.store.registry().finish(lease, keep_frames_ms=1000, keep_record_ms=1000)
        assert (await rig.call("POST", "/v1/conversations"))[0] == 201


async def test_bodies_are_bounded(open_rig) -> None:
    """Of every operation that reads one."""
    async with open_rig(max_turn_bytes=2048) as rig:
        for path in ("/v1/conversations", f"/v1/conversations/{await rig.create()}/tokens"):
            status, answer, _ = await rig.call("POST", path, data=b" " * 5000)
            assert (status, answer["type"]) == (413, "urn:avatar-relay:problem:too-large")


async def test_pages_elsewhere(open_rig) -> None:
    """No page may read an answer, unless its origin is named."""
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    async with open_rig() as rig, rig.http.options(f"{rig.url}/v1/conversations", headers=asks) as answer:
        assert answer.status == 405
        assert "Access-Control-Allow-Origin" not in answer.headers
    async with open_rig(cors_origins="https://app.example, https://other.example") as rig:
        async with rig.http.options(f"{rig.url}/v1/conversations", headers=asks) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        status, _, headers = await rig.call(
            "GET", "/v1/conversations/x", headers={"Origin": "https://app.example"}
        )
        assert (status, headers["Access-Control-Allow-Origin"]) == (404, "https://app.example")
        _, _, headers = await rig.call(
            "GET", "/v1/conversations/x", headers={"Origin": "https://evil.example"}
        )
        assert "Access-Control-Allow-Origin" not in headers


async def test_origins_are_read_as_browsers_send_them(open_rig) -> None:
    """Case, slash and default port do not count; answers are marked as different for each origin."""
    async with open_rig(cors_origins="HTTPS://App.Example:443/") as rig:
        for headers in ({"Origin": "https://app.example"}, {"Origin": "https://evil.example"}, {}):
            _, _, answer = await rig.call("GET", "/v1/conversations/x", headers=headers)
            assert answer["Vary"] == "Origin"
            allowed = headers.get("Origin") == "https://app.example"
            assert ("Access-Control-Allow-Origin" in answer) == allowed


@pytest.mark.parametrize(
    "entry", ["https://app.example/path", "app.example", "wss://app.example", "http://localhost:*"]
)
async def test_entries_that_are_no_origin(open_rig, entry: str) -> None:
    """Refused at the start, instead of never fitting."""
    with pytest.raises(SettingsError, match="RELAY_CORS_ORIGINS"):
        async with open_rig(cors_origins=entry):
            pass


async def test_a_preflight_with_odd_bytes(open_rig) -> None:
    """Refused as a request, no defect of ours."""
    async with open_rig(cors_origins="https://app.example") as rig:
        address = urlsplit(rig.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            b"OPTIONS /v1/conversations HTTP/1.1\r\nHost: x\r\nOrigin: https://a\xff\r\n"
            b"Access-Control-Request-Method: POST\r\n\r\n"
        )
        assert (await reader.readline()).split()[1] == b"400"
        writer.close()


@pytest.mark.parametrize("entries", ["planted-secret-of-a-backend", ""])
async def test_settings_that_are_no_keys(open_rig, entries: str) -> None:
    """Refused at the start; a key given by mistake is not shown."""
    with pytest.raises(SettingsError, match="RELAY_API_KEYS") as error:
        async with open_rig(RELAY_API_KEYS=entries):
            pass
    assert "planted" not in str(error.value)
