"""Failures: what viewers receive of them, and what the log may have."""

import pytest
from spatius import AvatarSDKError, AvatarSDKErrorCode, SessionTokenError

from relay_ingest.motion.failures import LOG_CHARACTERS, MESSAGES, PHASES, loggable
from relay_ingest.motion.vendor import failure_of

KEY = "planted-vendor-key"
FOREIGN = f"Cannot connect to host 10.1.2.3:443, X-Api-Key: {KEY}"


@pytest.mark.parametrize("code", AvatarSDKErrorCode)
def test_every_code_has_a_sentence_of_ours(code: AvatarSDKErrorCode) -> None:
    """Viewers receive no text of the vendor or the network."""
    failure = failure_of(AvatarSDKError(code, FOREIGN, phase="websocket_connect"), KEY)
    assert failure.code in MESSAGES
    assert "10.1.2.3" not in failure.message
    assert "10.1.2.3" in failure.detail
    assert KEY not in failure.detail


@pytest.mark.parametrize(
    "error",
    [
        ValueError(FOREIGN), OSError(FOREIGN), SessionTokenError(FOREIGN, http_status=403),
        AvatarSDKError(AvatarSDKErrorCode.serverError, FOREIGN, phase="of a later SDK"),
    ],
    ids=repr,
)  # fmt: skip
def test_any_exception_has_a_known_code_and_phase(error: Exception) -> None:
    """They are labels, and viewers' codes."""
    for opening in (True, False):
        failure = failure_of(error, KEY, opening=opening)
        assert failure.code in MESSAGES
        assert failure.phase in PHASES
        assert KEY not in failure.detail


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRET", "bearer SECRET.", '{"sessionToken":"SECRET"}',
        "?sessionKey=SECRET&id=1",
        "X-Session-Key: SECRET", "api_key='SECRET'", "password=SECRET", "Basic SECRET",
        "Set-Token : 'SECRET'",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    """An unknown one, too."""
    assert "SECRET" not in loggable(f"before {text} behind")
    assert loggable("eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln") == " ***".strip()


def test_what_is_no_secret_stays() -> None:
    """What an operator needs to read."""
    text = "Failed to create session token (HTTP 401): Unauthorized - invalid API key"
    assert loggable(text) == text


def test_a_text_is_one_short_line() -> None:
    """A page of HTML does not fill the log."""
    shown = loggable("<html>\n" + "x" * 10_000)
    assert "\n" not in shown
    assert len(shown) <= LOG_CHARACTERS + 3
