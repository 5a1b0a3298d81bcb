"""Tokens, with real sockets: those that do not fit are refused and not logged, and nobody else notices."""

import time

import jwt
import pytest
from tests.rigs.gateway import KEY, GatewayRig, assert_whole, collect, listen_to, seqs

from relay_auth.viewer_tokens import Role
from relay_wire.close_codes import BAD_TOKEN


def forged(rig: GatewayRig, key: str | None = KEY, algorithm: str = "HS256", **changes: object) -> str:
    now = int(time.time())
    claims = {
        "aud": "avatar-relay",
        "cid": rig.keys.id,
        "role": "speak",
        "iat": now,
        "exp": now + 60,
        **changes,
    }
    return jwt.encode(claims, key, algorithm)


async def test_tokens_that_do_not_fit(open_rig) -> None:
    """Each is a 401 or 403, for a browser 4401, and the viewer beside them misses nothing."""
    now = int(time.time())
    async with open_rig() as rig, rig.viewer() as bystander:
        refused = [
            forged(rig, aud="another"), forged(rig, exp=now - 60), forged(rig, nbf=now + 60),
            forged(rig, iat=now + 60), forged(rig, role="admin"),
            forged(rig, key="another-key-of-32-characters-or-more"),
            forged(rig, key=KEY * 2, algorithm="HS512"), forged(rig, None, "none"), "x" * 4000, "a.rig.c",
        ]  # fmt: skip
        for token in refused:
            assert await rig.refused(headers={"Authorization": f"Bearer {token}"}) == (401, "unauthorized")
            protocols = ("avatar-relay.v1", f"avatar-relay.token.{token}")
            async with await rig.connect(headers={}, protocols=protocols) as socket:
                assert not await listen_to(socket)
            assert socket.close_code == BAD_TOKEN.code
        other = rig.token(conversation="another")
        assert await rig.refused(headers={"Authorization": f"Bearer {other}"}) == (403, "forbidden")

        await rig.turn(1)
        assert seqs(await collect(bystander, 8)) == list(range(1, 9))
        assert_whole(bystander)


async def test_never_in_the_query(open_rig) -> None:
    """URLs end up in logs: the native path does not even look there."""
    async with open_rig() as rig:
        assert await rig.refused(path=f"{rig.path}?token={rig.token()}", headers={}) == (401, "unauthorized")


@pytest.mark.parametrize("others", [(), ("chat",)])
async def test_a_token_as_the_only_subprotocol(open_rig, others: tuple[str, ...]) -> None:
    """Refused before aiohttp logs what was offered: that is the token (the suite looks for it)."""
    async with open_rig() as rig:
        protocols = (*others, f"avatar-relay.token.{rig.token(Role.LISTEN)}")
        assert await rig.refused(headers={}, protocols=protocols) == (400, "bad-request")
