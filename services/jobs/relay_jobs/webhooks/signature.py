"""Signatures of webhooks: HMAC-SHA256, in the headers of Standard Webhooks. Pure."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # the public beginning of every secret
_LEAST_BYTES, _MOST_BYTES = 24, 64


class BadSecret(ValueError):
    """Raised when a text is no secret. It never contains the text."""


def secret_key(text: str) -> bytes:
    """The key in a secret, ``whsec_`` and 24 to 64 bytes in base64.

    Raises:
        BadSecret: The text has another form.
    """
    if not text.startswith(SECRET_PREFIX):
        raise BadSecret(f"a secret begins with {SECRET_PREFIX}")
    encoded = text.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadSecret(f"a secret is {SECRET_PREFIX} and base64") from None
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise BadSecret(f"a secret has {_LEAST_BYTES} to {_MOST_BYTES} bytes before base64")
    return key


def headers(keys: Sequence[bytes], delivery: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """The headers that identify a webhook and prove who sent it.

    Args:
        keys: All current keys, newest first: each signs, so that receivers can change keys one by one.
        delivery: The id; the same for every attempt.
        timestamp: When this attempt is made, in seconds since the epoch.
        body: The exact bytes of the request's body.
    """
    content = b"%s.%d.%s" % (delivery.encode(), timestamp, body)
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(key, content) for key in keys),
    }


def _signature(key: bytes, content: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
