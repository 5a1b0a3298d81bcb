"""Token keys sign and verify viewer tokens. The key decides the algorithm, never the token."""

from codecs import BOM_UTF8
from collections import Counter
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
_SECRET, _PEM = ".hs256", ".pem"


class BadKey(ValueError):
    """Raised when a key cannot be used. The text has the reason and never the key."""


@dataclass(frozen=True)
class TokenKey:
    """One key. Its repr shows no key material."""

    kid: str
    algorithm: Literal["HS256", "EdDSA"]
    verifying: bytes | Ed25519PublicKey = field(repr=False)
    signing: bytes | Ed25519PrivateKey | None = field(repr=False)
    """None for a public key, which only verifies."""


@dataclass(frozen=True)
class TokenKeys:
    """All keys that are valid now."""

    by_kid: Mapping[str, TokenKey]
    current: TokenKey | None
    """Signs new tokens; None when no key here can."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Files that should be keys and are none, with the reason."""


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
    """An Ed25519 key, for EdDSA: a public one verifies, a private one also signs.

    Raises:
        BadKey: It is no Ed25519 key, or encrypted.
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

    The file ``current`` has the kid that signs. Without it, or when it names no key that can sign, that is
    the last kid, in alphabetical order, that can. A file that is no key, or has the kid of another file,
    invalidates its own kid only.

    Args:
        files: Contents by file name. Whitespace around a content is ignored.
    """
    by_kid: dict[str, TokenKey] = {}
    unusable: dict[str, str] = {}
    kids = Counter(PurePath(name).stem for name in files if is_key_file(name))
    for name, content in sorted(files.items()):
        path = PurePath(name)
        if not is_key_file(name):
            continue
        try:
            if kids[path.stem] > 1:
                raise BadKey("another file has this kid, too")  # noqa: TRY301
            make = secret_key if path.suffix == _SECRET else pem_key
            by_kid[path.stem] = make(content.removeprefix(BOM_UTF8).strip(), path.stem)
        except BadKey as error:
            unusable[name] = str(error)
    signing = {kid: key for kid, key in by_kid.items() if key.signing is not None}
    kid = max(signing, default="")
    if CURRENT in files:
        named = files[CURRENT].strip().decode(errors="replace")
        if named in signing:
            kid = named
        else:
            unusable[CURRENT] = "names no key here that can sign"
    return TokenKeys(by_kid, signing.get(kid), unusable)


def is_key_file(name: str) -> bool:
    """Whether a file's name is that of a key."""
    path = PurePath(name)
    return path.suffix in (_SECRET, _PEM) and bool(path.stem)
