"""Viewer tokens, and the keys that sign them."""

import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from relay_auth.token_keys import secret_key
from relay_auth.viewer_tokens import ViewerTokens
from relay_settings.gateway import GatewaySettings

KEY = b"planted-token-secret-of-32-bytes-or-more"
OTHER = b"another-token-secret-of-32-bytes-or-more"
CLAIMS = {"aud": "avatar-relay", "cid": "c", "role": "listen"}
KEYS = {"": secret_key(KEY)}
ED25519 = Ed25519PrivateKey.generate()
PRIVATE_PEM = ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
RSA = generate_private_key(65537, 2048)
PUBLIC_PEM = ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def a_token(key: object = KEY, algorithm: str = "HS256", kid: object = None, **changes: object) -> str:
    now = int(time.time())
    claims = {**CLAIMS, "iat": now, "exp": now + 60, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm, headers={"kid": kid} if kid else None)


def in_seconds(seconds: int) -> int:
    return int(time.time()) + seconds


def tokens_of(folder: Path, **settings: object) -> ViewerTokens:
    return ViewerTokens(GatewaySettings.load(token_keys_dir=folder, **settings))
