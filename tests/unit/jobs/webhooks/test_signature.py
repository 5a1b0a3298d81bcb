"""Signatures: those of Standard Webhooks, as others compute them."""

import base64
import hashlib
import hmac

import pytest

from relay_jobs.webhooks.signature import BadSecret, headers, secret_key

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
ID, AT = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330


def test_the_vector_of_the_standards_libraries() -> None:
    """The secret, id, time and body of their tests give the signature of their tests."""
    assert headers([secret_key(SECRET)], ID, AT, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_all_current_keys_sign() -> None:
    """During a rotation there is a signature of each key, the newest first."""
    keys = [bytes(range(24)), bytes(range(40, 104))]
    signatures = headers(keys, "msg_1", 7, b"\xff body")["webhook-signature"].split(" ")
    assert signatures == [
        "v1," + base64.b64encode(hmac.new(key, b"msg_1.7.\xff body", hashlib.sha256).digest()).decode()
        for key in keys
    ]


@pytest.mark.parametrize("size", [24, 25, 26, 64])
def test_a_secret_with_and_without_padding(size: int) -> None:
    """Both forms of base64 are the same key."""
    key = bytes(range(size))
    text = "whsec_" + base64.b64encode(key).decode()
    assert secret_key(text) == secret_key(text.rstrip("=")) == key


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with whsec_"),
        ("whsec_not base64!", "and base64"),
        ("whsec_ä", "and base64"),
        ("whsec_A", "and base64"),
        ("whsec_", "24 to 64 bytes"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "24 to 64 bytes"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "24 to 64 bytes"),
    ],
    ids=["prefix", "characters", "letters", "length", "empty", "short", "long"],
)
def test_what_is_no_secret(text: str, why: str) -> None:
    """It is refused with the reason, which has nothing of the text."""
    with pytest.raises(BadSecret, match=why) as refused:
        secret_key(text)
    assert len(text) < 8 or text[6:] not in str(refused.value)
