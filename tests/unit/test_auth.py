"""Viewer tokens and API keys."""

import time

import jwt
import pytest

from relay_auth.api_keys import ApiKeys
from relay_auth.viewer_tokens import Role, TokenError, mint, verify

KEY = "k" * 32
CLAIMS = {"aud": "avatar-relay", "cid": "c", "role": "listen"}


def a_token(key: str = KEY, algorithm: str = "HS256", **changes: object) -> str:
    now = int(time.time())
    claims = {**CLAIMS, "iat": now, "exp": now + 60, **changes}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm)


def test_round_trip() -> None:
    """A minted token grants what it was minted for."""
    token, expires_at = mint(KEY, conversation="c", role=Role.SPEAK, ttl_s=60)

    grant = verify(KEY, token)

    assert grant == ("c", Role.SPEAK, expires_at)


@pytest.mark.parametrize(
    "token",
    [
        "", "x", "a.b.c", a_token(key="o" * 32), a_token(exp=int(time.time()) - 60), a_token(aud="other"),
        a_token(role="admin"), a_token(cid=None), a_token(exp=None), a_token(algorithm="HS512", key="k" * 64),
        a_token(nbf=int(time.time()) + 600), jwt.encode({**CLAIMS, "exp": 9e9, "iat": 1}, None, "none"),
    ],
)  # fmt: skip
def test_refusals(token: str) -> None:
    """Expired, forged, foreign, incomplete, unsigned: refused, and the token itself is never repeated."""
    with pytest.raises(TokenError, match="not valid") as refused:
        verify(KEY, token)

    assert not token or token not in str(refused.value)


def test_api_keys() -> None:
    """Any of the valid keys, nothing else."""
    keys = ApiKeys(["first-key", "second-key"])

    assert "first-key" in keys
    assert "second-key" in keys
    assert "first" not in keys
    assert "" not in keys
    assert "first-kéy" not in keys
