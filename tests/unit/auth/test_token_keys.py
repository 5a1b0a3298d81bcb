"""Token keys: read from a folder of files, masked in every text."""

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from tests.rigs.tokens import ED25519, KEY, OTHER, PRIVATE_PEM, PUBLIC_PEM, RSA

from relay_auth.token_keys import keys_of


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
