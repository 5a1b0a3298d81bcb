"""Viewer tokens, the keys they are checked with, and API keys."""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from relay_auth import key_ring
from relay_auth.api_keys import ApiKey, ApiKeys, KeyEntryError, Scope, new_key
from relay_auth.key_ring import FAILURES, KeyRing
from relay_auth.token_keys import TokenKey, keys_of, pem_key, secret_key
from relay_auth.viewer_tokens import Role, TokenError, ViewerTokens, mint, verify
from relay_settings.base import SettingsError
from relay_settings.gateway import GatewaySettings
from relay_telemetry import logs

KEY = b"planted-token-secret-of-32-bytes-or-more"
OTHER = b"another-token-secret-of-32-bytes-or-more"
CLAIMS = {"aud": "avatar-relay", "cid": "c", "role": "listen"}
KEYS = {"": secret_key(KEY)}
ED25519 = Ed25519PrivateKey.generate()
PRIVATE_PEM = ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC_PEM = ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
RSA = generate_private_key(65537, 2048)


def a_token(key: object = KEY, algorithm: str = "HS256", kid: object = None, **changes: object) -> str:
    now = int(time.time())
    claims = {**CLAIMS, "iat": now, "exp": now + 60, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm, headers={"kid": kid} if kid else None)


def in_seconds(seconds: int) -> int:
    return int(time.time()) + seconds


# --- tokens --------------------------------------------------------------------------------------


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


# --- keys ----------------------------------------------------------------------------------------


def test_a_folder_of_keys() -> None:
    """The name is the kid, the ending the kind; ``current`` signs, else the last that can."""
    files = {"a.hs256": KEY + b"\n", "b.pem": PRIVATE_PEM, "c.pem": PUBLIC_PEM}

    assert {kid: key.algorithm for kid, key in keys_of(files).by_kid.items()} == {
        "a": "HS256", "b": "EdDSA", "c": "EdDSA",
    }  # fmt: skip
    assert keys_of(files).current.kid == "b"
    assert keys_of({**files, "current": b"a\n"}).current.kid == "a"
    assert keys_of({"c.pem": PUBLIC_PEM}).current is None


@pytest.mark.parametrize(
    "files",
    [
        {"a.hs256": b"short"},
        {"a.hs256": PUBLIC_PEM},
        {"a.pem": KEY},
        {"a.pem": b"-----BEGIN PRIVATE KEY-----\nplanted-secret\n-----END PRIVATE KEY-----"},
        {"a.pem": RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())},
        {"a.pem": ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(KEY))},
        {"a.pem": PUBLIC_PEM, "a.hs256": KEY},
        {"a.pem": PUBLIC_PEM, "current": b"a"},
        {"a.hs256": KEY, "current": b"b"},
    ],
)
def test_keys_that_are_none(files: dict[str, bytes]) -> None:
    """Each is named without its content, and invalidates its own kid only."""
    keys = keys_of({**files, "good.hs256": OTHER})

    assert keys.unusable
    assert set(keys.unusable) <= set(files)
    assert "planted" not in str(keys.unusable)
    assert keys.by_kid["good"].verifying == keys.current.verifying == OTHER


def test_keys_are_masked() -> None:
    """No repr shows one."""
    shown = repr(keys_of({"a.hs256": KEY, "b.pem": PRIVATE_PEM}))

    assert "planted" not in shown
    assert "PRIVATE" not in shown


# --- rotation ------------------------------------------------------------------------------------


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is read on every use."""
    monkeypatch.setattr(key_ring, "REFRESH_S", 0)
    monkeypatch.setattr(key_ring, "UNKNOWN_KID_REFRESH_S", 0)


def tokens_of(folder: Path, **settings: object) -> ViewerTokens:
    return ViewerTokens(GatewaySettings.load(token_keys_dir=folder, **settings))


@pytest.mark.usefixtures("no_wait", "no_blocking")
async def test_rotation(tmp_path: Path) -> None:
    """New keys become valid and old ones invalid without a restart."""
    await asyncio.to_thread((tmp_path / "1.hs256").write_bytes, KEY)
    control, gateway = tokens_of(tmp_path), tokens_of(tmp_path)
    await control.open()
    await gateway.open()
    first, _ = await control.mint(conversation="c", role=Role.LISTEN, ttl_s=60)

    await asyncio.to_thread((tmp_path / "2.pem").write_bytes, PRIVATE_PEM)
    second, _ = await control.mint(conversation="c", role=Role.LISTEN, ttl_s=60)
    assert jwt.get_unverified_header(second)["kid"] == "2"
    assert (await gateway.verify(first)).conversation == (await gateway.verify(second)).conversation == "c"

    await asyncio.to_thread(os.remove, tmp_path / "1.hs256")
    with pytest.raises(TokenError):
        await gateway.verify(first)
    assert (await gateway.verify(second)).conversation == "c"


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize(
    "how", ["gone", "renamed", "emptied", "cut", "a folder", "of another kind", "dangling"]
)
async def test_a_key_goes_with_its_file(tmp_path: Path, how: str) -> None:
    """Whatever is wrong with it, whatever else is in the folder; keys beside it stay, and new ones come."""
    leaked, kept = tmp_path / "leaked.hs256", tmp_path / "kept.hs256"
    leaked.write_bytes(KEY)
    kept.write_bytes(OTHER)
    (tmp_path / "README").write_text("how to rotate")
    ring = KeyRing("", tmp_path)
    await ring.open()
    assert set((await ring.keys()).by_kid) == {"leaked", "kept"}

    match how:
        case "gone":
            leaked.unlink()
        case "renamed":
            leaked.rename(tmp_path / "leaked.hs256.bak")
        case "emptied":
            leaked.write_bytes(b"")
        case "cut":
            leaked.write_bytes(KEY[:10])
        case "a folder":
            leaked.unlink()
            leaked.mkdir()
        case "of another kind":
            leaked.write_bytes(PRIVATE_PEM)
        case "dangling":
            leaked.unlink()
            leaked.symlink_to("nowhere")
    (tmp_path / "new.pem").write_bytes(PRIVATE_PEM)

    assert set((await ring.keys()).by_kid) == {"kept", "new"}
    assert not ring.readiness()


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize("remove", [False, True])
async def test_an_emptied_folder_has_no_keys(tmp_path: Path, *, remove: bool) -> None:
    """Nor has one that is gone; the secret beside it is another matter. It shows in the readiness."""
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "1.hs256").write_bytes(KEY)
    alone, beside = KeyRing("", folder), KeyRing(OTHER.decode(), folder)
    for ring in (alone, beside):
        await ring.open()

    (folder / "1.hs256").unlink()
    if remove:
        folder.rmdir()

    assert not (await alone.keys()).by_kid
    assert set((await beside.keys()).by_kid) == {""}
    assert alone.readiness() == "there are no token keys"
    assert not beside.readiness()


@pytest.mark.usefixtures("no_wait")
async def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last keys are valid for a bounded time more; then none is, which shows; then it is read again."""
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "1.hs256").write_bytes(KEY)
    ring = KeyRing("", folder)
    await ring.open()
    failures = FAILURES._value.get()

    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(folder)  # a link to itself is neither there nor gone
    assert set((await ring.keys()).by_kid) == {"1"}
    assert not ring.readiness()
    assert FAILURES._value.get() == failures + 1

    monkeypatch.setattr(key_ring, "STALE_S", 0)
    assert not (await ring.keys()).by_kid
    assert ring.readiness() == "token keys cannot be read"

    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    assert set((await ring.keys()).by_kid) == {"1"}
    assert not ring.readiness()


@pytest.mark.usefixtures("no_wait")
async def test_a_folder_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers wait for a bounded time, one thread reads for all, and its keys expire as after a failure."""
    (tmp_path / "1.hs256").write_bytes(KEY)
    ring = KeyRing("", tmp_path)
    await ring.open()
    hanging, reads = threading.Event(), []

    def hang(folder: Path) -> list[Path]:
        reads.append(folder)
        hanging.wait()
        return []

    monkeypatch.setattr(key_ring, "READ_TIMEOUT_S", 0.01)
    monkeypatch.setattr(key_ring, "_files", hang)
    for _ in range(5):
        assert set((await ring.keys()).by_kid) == {"1"}
    assert len(reads) == 1
    monkeypatch.setattr(key_ring, "STALE_S", 0)
    assert not (await ring.keys()).by_kid
    hanging.set()


@pytest.mark.usefixtures("no_wait")
async def test_strays_are_told_once(tmp_path: Path, as_a_service, capsys: pytest.CaptureFixture[str]) -> None:
    """A note among the keys is no reason to refuse them."""
    as_a_service("json")
    (tmp_path / "1.hs256").write_bytes(KEY)
    (tmp_path / "note.txt").write_text("x")
    ring = KeyRing("", tmp_path)
    await ring.open()
    for number in range(3):
        (tmp_path / f"{number + 2}.hs256").write_bytes(KEY)
        await ring.keys()
    assert set((await ring.keys()).by_kid) == {"1", "2", "3", "4"}
    await asyncio.to_thread(logs.flush)
    assert capsys.readouterr().err.count("note.txt") == 1


async def test_as_kubernetes_mounts_it(tmp_path: Path) -> None:
    """Links into a hidden folder, which is replaced as a whole."""
    for version, key in (("..1", KEY), ("..2", OTHER)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "k.hs256").write_bytes(key)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "k.hs256").symlink_to("..data/k.hs256")
    ring = KeyRing("", tmp_path)
    await ring.open()
    assert (await ring.keys()).by_kid["k"] == secret_key(KEY, "k")

    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    ring._refreshed_at = float("-inf")
    assert (await ring.keys()).by_kid["k"] == secret_key(OTHER, "k")


async def test_unknown_kids_do_not_cause_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kids tokens name, the folder is read once a second at most."""
    (tmp_path / "1.hs256").write_bytes(KEY)
    ring = KeyRing("", tmp_path)
    await ring.open()
    reads = []
    monkeypatch.setattr(ring, "_refresh", reads.append)

    for number in range(100):
        await ring.keys(f"invented-{number}")

    assert not reads


async def test_the_secret_and_the_folder(tmp_path: Path) -> None:
    """Together: tokens without a kid stay valid beside named keys."""
    (tmp_path / "1.pem").write_bytes(PUBLIC_PEM)
    tokens = tokens_of(tmp_path, RELAY_TOKEN_SECRET=KEY.decode())
    await tokens.open()

    assert (await tokens.verify(a_token())).conversation == "c"
    assert (await tokens.verify(a_token(ED25519, "EdDSA", kid="1"))).conversation == "c"
    token, _ = await tokens.mint(conversation="c", role=Role.LISTEN, ttl_s=60)  # the public key cannot
    assert "kid" not in jwt.get_unverified_header(token)


# --- renewals ------------------------------------------------------------------------------------


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


async def test_a_folder_without_keys_is_refused_at_start(tmp_path: Path) -> None:
    """With the setting's name."""
    with pytest.raises(SettingsError, match="RELAY_TOKEN_KEYS_DIR: there are no token keys"):
        await tokens_of(tmp_path).open()
    (tmp_path / "1.pem").write_bytes(KEY)
    with pytest.raises(SettingsError, match=r"RELAY_TOKEN_KEYS_DIR: 1\.pem"):
        await tokens_of(tmp_path).open()


# --- API keys ------------------------------------------------------------------------------------


def test_api_keys() -> None:
    """Any of the valid keys, nothing else, whatever is presented."""
    (first, known), (second, other) = new_key([Scope.CREATE, Scope.PUSH]), new_key([Scope.ADMIN])
    keys = ApiKeys([str(known), str(other)])

    assert keys.find(first) == known
    assert keys.find(second) == other
    for wrong in ("", "ark", "ark__", first[:-1], first + "x", first.replace("ark", "arc"), "ark_é_\udce9"):
        assert keys.find(wrong) is None
    swapped = f"ark_{known.id}_{second.split('_', 2)[2]}"
    assert keys.find(swapped) is None


def test_scopes() -> None:
    """A key has the scopes of its entry; admin includes all."""
    (_, some), (_, admin) = new_key([Scope.CREATE, Scope.PUSH]), new_key([Scope.ADMIN])

    assert [some.allows(scope) for scope in Scope] == [True, True, False, False]
    assert all(admin.allows(scope) for scope in Scope)
    assert ApiKey.parse(str(some)) == some


@pytest.mark.parametrize(
    "entry",
    ["", "planted-secret-key-by-mistake", "abcd:00:push", f"abcd:{'0' * 64}:fly", f"a:{'0' * 64}:push"],
)
def test_entries_that_are_none(entry: str) -> None:
    """The error names the command that makes one, and not what was given."""
    with pytest.raises(KeyEntryError, match="keys new") as error:
        ApiKeys([entry])
    assert "planted" not in str(error.value)


def test_two_keys_of_one_id() -> None:
    """The id would be ambiguous."""
    with pytest.raises(KeyEntryError, match="two keys have the id abcd"):
        ApiKeys([f"abcd:{'0' * 64}:push", f"abcd:{'1' * 64}:push"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": 1}, "it has expired"),
        ({"iat": 2**33}, "its time has not come"),
        ({"aud": "others"}, "it is for another audience"),
        ({"cid": None}, "it has no cid"),
        ({"role": "admin"}, "it cannot be read"),
        ({"key": OTHER}, "its signature is not of the key it names"),
    ],
)
def test_a_refusal_has_its_reason(changes: dict[str, Any], reason: str) -> None:
    """It names the defect, and nothing of the parser."""
    with pytest.raises(TokenError) as refused:
        verify(KEYS, a_token(**changes))
    assert str(refused.value) == f"the token is not valid: {reason}"


@pytest.mark.parametrize("token", ["abc", "a.b.c"])
def test_what_is_no_token(token: str) -> None:
    """The refusal has a text of its own, not the library's."""
    with pytest.raises(TokenError, match=r"^the token is not valid: it cannot be read$"):
        verify(KEYS, token)
