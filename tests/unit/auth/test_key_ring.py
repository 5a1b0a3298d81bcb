"""Key rings: keys of a folder that change while the process runs."""

import asyncio
import os
import threading
from pathlib import Path

import jwt
import pytest
from tests.rigs.tokens import ED25519, KEY, OTHER, PRIVATE_PEM, PUBLIC_PEM, a_token, tokens_of

from relay_auth import key_ring
from relay_auth.key_ring import FAILURES, KeyRing
from relay_auth.token_keys import secret_key
from relay_auth.viewer_tokens import Role, TokenError
from relay_settings.base import SettingsError
from relay_telemetry import logs


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
async def test_other_files_are_reported_once(
    tmp_path: Path, as_a_service, capsys: pytest.CaptureFixture[str]
) -> None:
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


async def test_a_folder_without_keys_is_refused_at_start(tmp_path: Path) -> None:
    """With the setting's name."""
    with pytest.raises(SettingsError, match="RELAY_TOKEN_KEYS_DIR: there are no token keys"):
        await tokens_of(tmp_path).open()
    (tmp_path / "1.pem").write_bytes(KEY)
    with pytest.raises(SettingsError, match=r"RELAY_TOKEN_KEYS_DIR: 1\.pem"):
        await tokens_of(tmp_path).open()
