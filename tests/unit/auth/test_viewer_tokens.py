"""Viewer tokens: minted, verified, and renewed within a lifetime."""

from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.rigs.tokens import (
    CLAIMS,
    ED25519,
    KEY,
    KEYS,
    OTHER,
    PRIVATE_PEM,
    PUBLIC_PEM,
    RSA,
    a_token,
    in_seconds,
    tokens_of,
)

from relay_auth.token_keys import TokenKey, pem_key, secret_key
from relay_auth.viewer_tokens import Role, TokenError, ViewerTokens, mint, verify
from relay_settings.gateway import GatewaySettings

SECRET_OR_KEYS = "RELAY_TOKEN_SECRET or RELAY_TOKEN_KEYS_DIR"


@pytest.mark.parametrize("key", [secret_key(KEY), secret_key(KEY, "k1"), pem_key(PRIVATE_PEM, "e1")])
def test_round_trip(key: TokenKey) -> None:
    """A minted token grants what it was minted for."""
    token, expires_at = mint(key, conversation="c", role=Role.SPEAK, ttl_s=60)

    grant = verify({key.kid: key}, token)
    assert (grant.conversation, grant.role, grant.expires_at) == ("c", Role.SPEAK, expires_at)
    assert (grant.issued_at, grant.granted_at, grant.key) == (expires_at - 60, expires_at - 60, key)


@pytest.mark.parametrize(
    "token",
    [
        "", "x", "a.b.c", a_token(key=OTHER), a_token(exp=in_seconds(-60)), a_token(aud="other"),
        a_token(role="admin"), a_token(cid=None), a_token(exp=None), a_token(iat=None),
        a_token(algorithm="HS512", key=b"k" * 64), a_token(nbf=in_seconds(600)), a_token(iat=in_seconds(600)),
        a_token(exp="soon"), a_token(kid="unknown"), a_token(orig_iat="then"), a_token(orig_iat=[1]),
        jwt.encode({**CLAIMS, "exp": 9e9, "iat": 1}, None, "none"),
    ],
    ids=[
        "empty", "no JWT", "no JSON", "another key", "expired", "another audience", "unknown role",
        "no conversation", "no expiry", "no time of issue", "another algorithm", "not valid yet",
        "issued in the future", "expiry of no type", "unknown key", "first issue of no type",
        "first issue in a list", "no signature",
    ],
)  # fmt: skip
def test_refusals(token: str) -> None:
    """Expired, early, forged, foreign, incomplete, unsigned: refused, and the token is never repeated."""
    with pytest.raises(TokenError, match="not valid") as refused:
        verify(KEYS, token)

    assert not token or token not in str(refused.value)


def test_the_key_decides_the_algorithm() -> None:
    """The algorithm in the token's header is ignored."""
    public = pem_key(PUBLIC_PEM, "e1")
    forged = _hs256_signed_with(PUBLIC_PEM, kid="e1")
    unsigned = jwt.encode({**CLAIMS, "exp": in_seconds(60), "iat": 1}, None, "none", headers={"kid": "e1"})
    crossed = a_token(ED25519, "EdDSA")  # names no kid, and so the secret

    for token in (forged, unsigned, a_token(KEY, kid="e1"), a_token(RSA, "RS256", kid="e1")):
        with pytest.raises(TokenError):
            verify({"e1": public}, token)
    with pytest.raises(TokenError):
        verify({**KEYS, "e1": public}, crossed)


def _hs256_signed_with(pem: bytes, kid: str) -> str:
    """The classic forgery; made by hand, since PyJWT refuses to."""
    import hashlib
    import hmac

    head, body, _ = a_token(KEY, kid=kid).split(".")
    signature = hmac.digest(pem, f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{jwt.utils.base64url_encode(signature).decode()}"


def test_clocks_may_differ_by_the_leeway() -> None:
    """And by no more."""
    token = a_token(exp=in_seconds(-3), nbf=in_seconds(3))

    assert verify(KEYS, token, leeway_s=10).conversation == "c"
    with pytest.raises(TokenError):
        verify(KEYS, token, leeway_s=1)


async def test_a_renewed_token_allows_the_same(tmp_path: Path) -> None:
    """For as long again, with the key that signs now; it remembers when the first one was made."""
    (tmp_path / "1.hs256").write_bytes(KEY)
    (tmp_path / "2.pem").write_bytes(PRIVATE_PEM)
    tokens = tokens_of(tmp_path)
    await tokens.open()
    made = in_seconds(-50)
    grant = await tokens.verify(a_token(KEY, kid="1", iat=made, exp=made + 60, role="speak"))

    token, renewed = await tokens.renew(grant, max_life_s=3600)
    again = await tokens.verify(token)
    assert again == renewed
    assert (again.conversation, again.role) == ("c", Role.SPEAK)
    assert (again.granted_at, again.expires_at - again.issued_at) == (made, 60)
    assert jwt.get_unverified_header(token)["kid"] == "2"
    older = again._replace(issued_at=again.issued_at - 10, expires_at=again.expires_at - 10)
    assert (await tokens.renew(older, max_life_s=3600))[1].granted_at == made


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize("content", [None, OTHER])
async def test_who_loses_its_key_is_not_renewed(tmp_path: Path, content: bytes | None) -> None:
    """Taking a leaked key away, or replacing it under its name, ends its tokens, renewed ones too."""
    (tmp_path / "1.hs256").write_bytes(KEY)
    (tmp_path / "2.hs256").write_bytes(b"a third token secret of 32 bytes or more")
    tokens = tokens_of(tmp_path)
    await tokens.open()
    grant = await tokens.verify(a_token(KEY, kid="1", iat=in_seconds(-30)))
    assert await tokens.renew(grant, max_life_s=3600)

    (tmp_path / "1.hs256").unlink()
    if content is not None:
        (tmp_path / "1.hs256").write_bytes(content)
    with pytest.raises(TokenError, match="not known"):
        await tokens.renew(grant, max_life_s=3600)


async def test_public_keys_renew_nothing(tmp_path: Path) -> None:
    """They only check."""
    (tmp_path / "1.pem").write_bytes(PUBLIC_PEM)
    tokens = tokens_of(tmp_path)
    await tokens.open()
    with pytest.raises(TokenError, match="sign"):
        await tokens.renew(await tokens.verify(a_token(ED25519, "EdDSA", kid="1")), max_life_s=3600)


@pytest.mark.parametrize(("max_life_s", "left_s"), [(3600, 60), (80, 30), (60, 0), (0, 0)])
async def test_the_lifetime_of_all_tokens_is_bounded(max_life_s: float, left_s: int) -> None:
    """From the first one on, and nothing is made that is not valid for longer than what there is."""
    tokens = ViewerTokens(GatewaySettings.load(RELAY_TOKEN_SECRET=KEY.decode()))
    made = in_seconds(-50)
    grant = await tokens.verify(a_token(iat=made, exp=made + 60))
    if left_s:
        _, renewed = await tokens.renew(grant, max_life_s=max_life_s)
        assert abs(renewed.expires_at - in_seconds(left_s)) <= 1
    else:
        with pytest.raises(TokenError, match="ended"):
            await tokens.renew(grant, max_life_s=max_life_s)


@pytest.mark.parametrize(
    ("changes", "reason", "setting"),
    [
        ({"exp": 1}, "it has expired", "RELAY_TOKEN_TTL_S"),
        ({"iat": 2**33}, "its time has not come", "RELAY_TOKEN_LEEWAY_S"),
        ({"aud": "others"}, "it is for another audience", ""),
        ({"cid": None}, "it has no cid", ""),
        ({"role": "admin"}, "it cannot be read", ""),
        ({"key": OTHER}, "its signature is not of the key it names", SECRET_OR_KEYS),
    ],
)
def test_a_refusal_has_its_reason(changes: dict[str, Any], reason: str, setting: str) -> None:
    """It names the defect, and nothing of the parser; the setting that corrects it is an attribute."""
    with pytest.raises(TokenError) as refused:
        verify(KEYS, a_token(**changes))
    assert str(refused.value) == f"the token is not valid: {reason}"
    assert refused.value.setting == setting


def test_a_key_that_is_not_known_here() -> None:
    """The keys of control and gateways differ."""
    with pytest.raises(TokenError, match="names no key that is known here") as refused:
        verify({}, a_token())
    assert refused.value.setting == SECRET_OR_KEYS


@pytest.mark.parametrize("token", ["abc", "a.b.c"])
def test_what_is_no_token(token: str) -> None:
    """The refusal has a text of its own, not the library's."""
    with pytest.raises(TokenError, match=r"^the token is not valid: it cannot be read$"):
        verify(KEYS, token)
