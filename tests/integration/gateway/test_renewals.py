"""Renewals: a viewer that is connected for longer than its token is valid can still reconnect."""

import asyncio
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.rigs.gateway import GatewayRig, assert_whole, collect, events_in, listen_to, seqs
from tests.rigs.metrics import metric

from relay_auth.token_keys import pem_key
from relay_auth.viewer_tokens import Role, mint
from relay_client import Refused, Viewer
from relay_gateway.renewals import RENEWALS
from relay_wire import events, frame

TTL_S = 4
"""So that half of it is more than a busy machine delays a renewal."""


async def outlived(ttl_s: float = TTL_S) -> None:
    """Wait until a token made now has expired."""
    over = time.time() + ttl_s + 1
    while time.time() < over:
        await asyncio.sleep(0.05)


def short(rig: GatewayRig, **options: Any) -> Viewer:
    return Viewer(rig.urls, rig.keys.id, rig.token(ttl_s=TTL_S), session=rig.http, **options)


async def test_a_viewer_comes_back_after_its_tokens_life(open_rig) -> None:
    """Its first token has expired; the one it got meanwhile has not."""
    async with open_rig(token_leeway_s=0) as rig, short(rig) as viewer:
        watching = asyncio.create_task(collect(viewer, 15))
        await rig.turn(1)
        await outlived()
        viewer.cut()
        await rig.turn(2)

        frames = await watching
        assert seqs(frames) == list(range(1, 16))
        assert events_in(frames, events.TokenRenewed) == [], "the app is not given what is the client's"
        assert viewer.report.resumes == 1
        assert_whole(viewer)


async def test_without_renewals_it_does_not(open_rig) -> None:
    """A lifetime of 0 disables renewals; a token is then valid for its first lifetime only."""
    async with open_rig(token_leeway_s=0, token_max_life_s=0) as rig, short(rig) as viewer:
        watching = asyncio.create_task(collect(viewer, 15))
        await outlived()
        viewer.cut()
        with pytest.raises(Refused):
            await watching


async def test_a_callable_is_asked_each_time(open_rig) -> None:
    """It knows what the gateway does not."""
    calls = 0
    async with open_rig(token_leeway_s=0) as rig:

        async def token() -> str:
            nonlocal calls
            calls += 1
            return rig.token(ttl_s=TTL_S)

        async with Viewer(rig.url, rig.keys.id, token, session=rig.http) as viewer:
            watching = asyncio.create_task(collect(viewer, 8))
            await outlived()
            viewer.cut()
            await rig.turn(1)
            assert seqs(await watching) == list(range(1, 9))
        assert calls == 2


async def test_a_drain_hands_out_tokens_that_last(open_rig) -> None:
    """Tokens that would expire while viewers reconnect, before the advice to reconnect."""
    async with open_rig(drain_s=0.2) as rig:
        headers = {"Authorization": f"Bearer {rig.token(ttl_s=30)}"}
        async with await rig.connect(headers=headers) as socket, await rig.connect() as other:
            await outlived(0)  # a token made in the same second would not last longer
            draining = asyncio.create_task(rig.service.drain())
            frames = await listen_to(socket)
            await draining
            unasked = events_in(await listen_to(other), events.TokenRenewed)

        kinds = [type(events.decode(received.payload)) for received in frames if not received.seq]
        assert kinds == [events.Hello, events.TokenRenewed, events.Reconnect]
        [renewed] = events_in(frames, events.TokenRenewed)
        assert renewed.expires_at >= time.time() + 25
        grant = await rig.service.tokens.verify(renewed.token)
        assert (grant.conversation, grant.role) == (rig.keys.id, Role.SPEAK)
        assert len(unasked) == 1


async def test_a_gateway_with_public_keys_renews_nothing(open_rig, tmp_path, eventually) -> None:
    """The viewer stays as long as its socket does."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    await asyncio.to_thread((tmp_path / "k.pem").write_bytes, public)
    async with open_rig(RELAY_TOKEN_SECRET=None, token_keys_dir=tmp_path) as rig:
        refused = metric(RENEWALS, outcome="refused")
        token, _ = mint(pem_key(private, "k"), conversation=rig.keys.id, role=Role.LISTEN, ttl_s=TTL_S)
        async with await rig.connect(headers={"Authorization": f"Bearer {token}"}) as socket:
            await eventually(lambda: metric(RENEWALS, outcome="refused") == refused + 1)
            await socket.send_str('{"type":"ping"}')
            received = [
                events.decode(frame.decode(await socket.receive_bytes(timeout=5)).payload) for _ in "123"
            ]
            assert [type(event) for event in received] == [events.Hello, events.OwnerChanged, events.Pong]


async def test_the_vendors_clients_are_told_nothing(open_rig, eventually) -> None:
    """They could not use it."""
    async with open_rig(avatarkit_clients=True, avatar_id="ava") as rig:
        headers = {"Authorization": f"Bearer {rig.token(ttl_s=TTL_S)}"}
        async with await rig.connect("/ws/agent", headers=headers) as socket, short(rig):
            assert "ready" in await socket.receive_str()
            renewed = metric(RENEWALS, outcome="renewed")
            await eventually(lambda: metric(RENEWALS, outcome="renewed") > renewed)
            await socket.send_str('{"type":"ping"}')
            assert "pong" in await socket.receive_str()


async def test_viewers_that_leave_are_removed(open_rig, eventually) -> None:
    """No timer is left for them."""
    async with open_rig() as rig:
        for _ in range(10):
            async with await rig.connect() as socket:
                await socket.receive_bytes(timeout=5)
        await eventually(lambda: not rig.service.renewals)
