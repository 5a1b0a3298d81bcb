"""Token keys: what viewer tokens are signed and checked with. Keys decide the algorithm, never tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

UNNAMED = ""
"""The kid of the key for tokens that name none."""
CURRENT = "current"
"""The file that names the key new tokens are signed with."""
MIN_SECRET_BYTES = 32
"""As long as the digest (RFC 7518 3.2)."""


class BadKey(ValueError):
    """Raised when a key cannot be used. The text says why and never contains the key."""


@dataclass(frozen=True)
class TokenKey:
    """One key. Its repr shows no key material."""

    kid: str
    algorithm: Literal["HS256", "EdDSA"]
    verifying: bytes | Ed25519PublicKey = field(repr=False)
    signing: bytes | Ed25519PrivateKey | None = field(repr=False)
    """None for a public key: it only checks."""


@dataclass(frozen=True)
class TokenKeys:
    """All keys that are valid now."""

    by_kid: Mapping[str, TokenKey]
    current: TokenKey | None
    """Signs new tokens; None when no key here can."""


def secret_key(secret: bytes, kid: str = UNNAMED) -> TokenKey:
    """A shared secret, for HS256.

    Raises:
        BadKey: It is too short, or a PEM file by mistake.
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise BadKey(f"a secret has {MIN_SECRET_BYTES} bytes or more")
    if secret.startswith(b"-----BEGIN"):
        raise BadKey("this is a PEM file; name it .pem")
    return TokenKey(kid, "HS256", secret, secret)


def pem_key(pem: bytes, kid: str) -> TokenKey:
    """An Ed25519 key, for EdDSA: a public one checks, a private one also signs.

    Raises:
        BadKey: It is none of these, or encrypted.
    """
    try:
        if b"PRIVATE KEY-----" in pem:
            private = load_pem_private_key(pem, password=None)
            if isinstance(private, Ed25519PrivateKey):
                return TokenKey(kid, "EdDSA", private.public_key(), private)
        else:
            public = load_pem_public_key(pem)
            if isinstance(public, Ed25519PublicKey):
                return TokenKey(kid, "EdDSA", public, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass  # The library's text may quote the file.
    raise BadKey("an Ed25519 key in PEM, not encrypted")


def keys_of(files: Mapping[str, bytes]) -> TokenKeys:
    """The keys in a folder: ``<kid>.hs256`` is a secret, ``<kid>.pem`` an Ed25519 key.

    The file ``current`` holds the kid that signs. Without it that is the last, by kid, that can.

    Args:
        files: Contents by file name. Whitespace around them does not count.

    Raises:
        BadKey: A file is not a key, two have the same kid, or ``current`` names none that can sign.
    """
    by_kid: dict[str, TokenKey] = {}
    for name, content in sorted(files.items()):
        if name != CURRENT:
            key = _key(name, content.strip())
            if key.kid in by_kid:
                raise BadKey(f"{name}: another key has this kid, too")
            by_kid[key.kid] = key
    return TokenKeys(by_kid, _current(by_kid, files.get(CURRENT)))


def _key(name: str, content: bytes) -> TokenKey:
    path = PurePath(name)
    try:
        match path.suffix:
            case ".hs256":
                return secret_key(content, path.stem)
            case ".pem":
                return pem_key(content, path.stem)
    except BadKey as error:
        raise BadKey(f"{name}: {error}") from None
    raise BadKey(f"{name}: keys are named <kid>.hs256 or <kid>.pem")


def _current(by_kid: Mapping[str, TokenKey], named: bytes | None) -> TokenKey | None:
    signing = {kid: key for kid, key in by_kid.items() if key.signing is not None}
    if named is None:
        return signing[max(signing)] if signing else None
    kid = named.strip().decode(errors="replace")
    if kid not in signing:
        raise BadKey(f"{CURRENT}: names no key here that can sign")
    return signing[kid]
