"""Conversations and tokens: every answer, every refusal; on every server."""

from typing import Any

import aiohttp
import pytest

from relay_auth.token_keys import secret_key
from relay_auth.viewer_tokens import Role, verify
from relay_wire import uplink

TOKEN_KEY = "k" * 40


async def test_a_conversations_life(open_rig) -> None:
    """Created with defaults or wishes, read, deleted; deleting again changes nothing."""
    async with open_rig() as rig:
        status, made, headers = await rig.call(
            "POST", "/v1/conversations", json={"avatar_id": "ava", "sample_rate": 24000}
        )
        assert status == 201
        assert headers["Location"] == f"/v1/conversations/{made['id']}"
        assert (made["state"], made["avatar_id"], made["sample_rate"]) == ("open", "ava", 24000)
        assert made["stream_url"] == f"wss://edge.example/v1/conversations/{made['id']}/stream"
        assert len(made["id"]) == 26

        status, shown, _ = await rig.call("GET", f"/v1/conversations/{made['id']}")
        assert (status, shown) == (200, made)
        for _ in range(2):
            status, shown, _ = await rig.call("DELETE", f"/v1/conversations/{made['id']}")
            assert (status, shown["state"]) == (202, "closing")
        assert await rig.up_entries(made["id"]) == [uplink.Close("deleted")]


async def test_an_empty_body_takes_the_defaults(open_rig) -> None:
    """The simplest create is a bare POST."""
    async with open_rig() as rig:
        status, made, _ = await rig.call("POST", "/v1/conversations")

        assert (status, made["avatar_id"], made["sample_rate"]) == (201, "default-avatar", 16000)


@pytest.mark.parametrize(
    ("wishes", "agent", "talk_over"),
    [
        ({}, "push", "never"),
        ({"agent": "echo"}, "echo", "requests"),
        ({"agent": "my-agent", "talk_over": "always"}, "my-agent", "always"),
    ],
)
async def test_agents(open_rig, wishes: dict[str, str], agent: str, talk_over: str) -> None:
    """A conversation names who answers its viewers, and what of theirs interrupts."""
    async with open_rig() as rig:
        _, made, _ = await rig.call("POST", "/v1/conversations", json=wishes)
        _, shown, _ = await rig.call("GET", f"/v1/conversations/{made['id']}")
        assert (shown["agent"], shown["talk_over"]) == (agent, talk_over)


async def test_recording(open_rig) -> None:
    """A recorded conversation is listed for the workers, and shows its progress; others are not."""
    settings = {"jobs": True, "recordings_url": "/srv/recordings"}
    async with open_rig(**settings) as rig:
        _, plain, _ = await rig.call("POST", "/v1/conversations")
        status, made, _ = await rig.call("POST", "/v1/conversations", json={"record": True})
        assert (plain["recording"], made["recording"], status) == ("off", "running", 201)
        keys = rig.store.keys.conversation(made["id"])
        assert await rig.store.client.execute("ZSCORE", keys.recordings, made["id"]) is not None

        await rig.store.client.execute("HSET", keys.meta, "rec_state", "finished")
        _, shown, _ = await rig.call("GET", f"/v1/conversations/{made['id']}")
        assert shown["recording"] == "finished"


@pytest.mark.parametrize("settings", [{}, {"jobs": True}, {"recordings_url": "/srv/recordings"}])
async def test_a_relay_that_does_not_record(open_rig, settings: dict[str, object]) -> None:
    """It refuses, and names what is missing, rather than record nothing."""
    async with open_rig(**settings) as rig:
        status, problem, _ = await rig.call("POST", "/v1/conversations", json={"record": True})

        assert (status, problem["field"]) == (422, "record")
        assert "RELAY_JOBS and RELAY_RECORDINGS_URL" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (b"{", 400, "malformed-json"),
        (b"[]", 422, "invalid-field"),
        (b"\xff", 400, "malformed-json"),
        (b'{"sample_rate":"fast"}', 422, "invalid-field"),
        (b'{"sample_rate":12345}', 422, "invalid-field"),
        (b'{"avatar":"x"}', 422, "invalid-field"),
        (b'{"agent":"../Echo"}', 422, "invalid-field"),
        (b'{"talk_over":"sometimes"}', 422, "invalid-field"),
        (b'{"avatar_id":"' + b"x" * 200 + b'"}', 422, "invalid-field"),
    ],
)
async def test_wrong_wishes(open_rig, body: bytes, status: int, problem: str) -> None:
    """Malformed JSON and invalid fields are different problems."""
    async with open_rig() as rig:
        got, answer, headers = await rig.call("POST", "/v1/conversations", data=body)

        assert (got, answer["type"]) == (status, f"urn:avatar-relay:problem:{problem}")
        assert headers["Content-Type"].startswith("application/problem+json")
        assert await rig.store.client.execute("DBSIZE") == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/interrupt"), ("POST", "/tokens")],
)
async def test_an_unknown_conversation(open_rig, method: str, path: str) -> None:
    """Everything about it is 404."""
    async with open_rig() as rig:
        status, answer, _ = await rig.call(method, f"/v1/conversations/nobody{path}")

        assert (status, answer["title"]) == (404, "There is no such conversation")
        assert await rig.speak("nobody", b"\x00\x01") == (404, answer)


async def test_keys(open_rig) -> None:
    """Any valid key, in either header; nothing else gets in, whatever it asks for."""
    async with open_rig() as rig:
        rig.auth = {}
        for headers in ({"X-API-Key": rig.key}, {"Authorization": f"Bearer {rig.other_key}"}):
            assert (await rig.call("POST", "/v1/conversations", headers=headers))[0] == 201
        for headers in (
            {},
            {"X-API-Key": "wrong"},
            {"Authorization": f"Basic {rig.key}"},
            {"Authorization": "Bearer"},
        ):
            status, answer, _ = await rig.call("POST", "/v1/conversations", headers=headers)
            assert (status, answer["type"]) == (401, "urn:avatar-relay:problem:unauthorized")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await rig.socket("x", headers={})
        assert refused.value.status == 401


async def test_paths_and_methods(open_rig) -> None:
    """What is not there is a problem, too."""
    async with open_rig() as rig:
        assert (await rig.call("GET", "/nowhere"))[0] == 404
        status, answer, headers = await rig.call("PUT", "/v1/conversations")
        assert (status, answer["status"], headers["Allow"]) == (405, 405, "POST")


async def test_without_redis(open_rig) -> None:
    """503 with Retry-After, within the timeout."""
    async with open_rig() as rig:
        rig.store.client._timeout_s = 0.2
        await rig.store.client.execute("CLIENT", "PAUSE", "500", "ALL")
        status, answer, headers = await rig.call("POST", "/v1/conversations")

        assert (status, answer["type"]) == (503, "urn:avatar-relay:problem:store-unavailable")
        assert headers["Retry-After"] == "1"
        rig.store.client._timeout_s = 5
        await rig.store.client.execute("PING")  # until the pause is over


async def test_tokens(open_rig) -> None:
    """For this conversation, for as long as asked, with where to use them; never cached."""
    async with open_rig() as rig:
        conversation = await rig.create()
        status, answer, headers = await rig.call(
            "POST", f"/v1/conversations/{conversation}/tokens", json={"role": "listen", "ttl_s": 60}
        )

        assert status == 201
        assert headers["Cache-Control"] == "no-store"
        assert answer["url"] == f"wss://edge.example/v1/conversations/{conversation}/stream"
        keys = {"": secret_key(TOKEN_KEY.encode())}
        assert verify(keys, answer["token"])[:3] == (conversation, Role.LISTEN, answer["expires_at"])


@pytest.mark.parametrize("body", [{"role": "admin"}, {"ttl_s": 1}, {"ttl_s": 10**6}, {"ttl": 60}])
async def test_wrong_tokens(open_rig, body: dict[str, Any]) -> None:
    """Invalid roles and lifetimes are refused."""
    async with open_rig() as rig:
        conversation = await rig.create()

        assert (await rig.call("POST", f"/v1/conversations/{conversation}/tokens", json=body))[0] == 422


@pytest.mark.parametrize(("field", "value"), [("talk_over", "sometimes"), ("up", "x"), ("format", 99)])
async def test_a_record_that_cannot_be_read(open_rig, field: str, value: object) -> None:
    """Is not one that is missing."""
    async with open_rig() as rig:
        conversation = await rig.create()
        await rig.store.client.execute("HSET", rig.store.keys.conversation(conversation).meta, field, value)
        path = f"/v1/conversations/{conversation}"
        for method, what in (("GET", path), ("DELETE", path), ("POST", path + "/tokens")):
            status, answer, headers = await rig.call(method, what)
            assert (status, answer["type"]) == (503, "urn:avatar-relay:problem:unreadable-record")
            assert headers["Retry-After"]


async def test_a_conversation_without_an_owner(open_rig) -> None:
    """It may wait for a time; then its speech is refused, and its resource has the length of the wait."""
    async with open_rig() as rig:
        conversation = await rig.create()
        path = f"/v1/conversations/{conversation}"
        assert (await rig.speak(conversation, b"\1\2"))[0] == 202
        keys = rig.store.keys.conversation(conversation)
        await rig.store.client.execute("HSET", keys.meta, "leased", 1, "owner", "one-that-died")

        _, shown, _ = await rig.call("GET", path)
        assert shown["owner"] is None
        assert shown["waits_s"] > 1_000_000
        status, refusal = await rig.speak(conversation, b"\1\2")
        assert (status, refusal["type"]) == (503, "urn:avatar-relay:problem:no-owner")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await rig.socket(conversation)
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "5")
        assert (await rig.call("POST", path + "/interrupt"))[0] == 202
        assert (await rig.call("DELETE", path))[0] == 202

        await rig.store.client.execute("SET", keys.lease, "somebody 1", "PX", 60_000)
        _, shown, _ = await rig.call("GET", path)
        assert (shown["owner"], shown["waits_s"]) == ("one-that-died", 0)


@pytest.mark.parametrize("damage", [{"tail": "junk"}, {"state": "paused"}, {"avatar": b"\xff"}], ids=str)
async def test_a_record_that_is_damaged_is_closed(open_rig, damage) -> None:
    """Whoever asks learns that it cannot be read, and its owner that it is to end it."""
    async with open_rig() as rig:
        conversation = await rig.create()
        keys = rig.store.keys.conversation(conversation)
        await rig.store.client.execute("HSET", keys.meta, *[part for one in damage.items() for part in one])

        assert (await rig.call("DELETE", f"/v1/conversations/{conversation}"))[0] == 503
        assert await rig.store.client.execute("HGET", keys.meta, "state") == b"closing"
        [closed] = await rig.up_entries(conversation)
        assert closed.reason == "unreadable_record"
