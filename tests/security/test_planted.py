"""The search for planted secrets finds what it is for."""

from tests.rigs.planted import leaked, secrets_of

from relay_auth.token_keys import secret_key
from relay_auth.viewer_tokens import Role, mint


def test_finds_secrets() -> None:
    """Planted ones, tokens, and those a process was given; it does not repeat them."""
    token, _ = mint(secret_key(b"k" * 32), conversation="c", role=Role.SPEAK, ttl_s=60)

    for text in ("planted-" + "secret-x", token, "a-key-of-16-chars"):
        place = leaked(
            f"first\nsecond {text} third", secrets_of({"RELAY_API_KEYS": "other,a-key-of-16-chars"})
        )
        assert place == "second <here>"
    assert not leaked("first\nsecond", ["third"])
