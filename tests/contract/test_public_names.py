"""Public names: what users import from the client, and the registries of codes."""

import msgspec
import pytest

import relay_client
from relay_client import resources
from relay_control import responses
from relay_wire import close_codes, problems


def test_the_clients_names() -> None:
    """Adding is fine with a changelog entry; removing breaks users."""
    assert relay_client.__all__ == [
        "Backend", "BackendError", "Clip", "Closed", "ControlUnavailable", "Conversation", "DailyUsage",
        "Observer", "Refused", "RelayError", "Report", "RequestRefused", "SpeechError", "SpeechInterrupted",
        "SpeechLost", "SpeechRefused", "SpeechStream", "Token", "TurnAccepted", "Viewer", "ViewerError",
        "ViewerToken",
    ]  # fmt: skip
    assert all(hasattr(relay_client, name) for name in relay_client.__all__)


@pytest.mark.parametrize(
    ("read", "sent"),
    [
        (resources.Conversation, responses.ConversationResponse),
        (resources.DailyUsage, responses.DailyUsage),
        (resources.TurnAccepted, responses.TurnAccepted),
        (resources.TurnsInterrupted, responses.TurnsInterrupted),
        (resources.Usage, responses.UsageResponse),
        (resources.ViewerToken, responses.ViewerTokenResponse),
    ],
)
def test_the_clients_resources(read: type[msgspec.Struct], sent: type[msgspec.Struct]) -> None:
    """The client reads every member that control sends."""
    assert read.__struct_fields__ == sent.__struct_fields__


def test_close_codes() -> None:
    """Numbers and advice are on the wire: clients in the field act on them."""
    table = {code: (entry.name, entry.advice.value) for code, entry in close_codes.REGISTRY.items()}

    assert table == {
        1000: ("normal", "final"),
        1001: ("going_away", "resume"),
        1002: ("protocol_error", "final"),
        1003: ("unsupported_data", "final"),
        1005: ("no_status", "resume"),
        1006: ("abnormal", "resume"),
        1007: ("invalid_text", "final"),
        1009: ("too_big", "back off and resume"),
        1011: ("internal_error", "back off and resume"),
        1012: ("restart", "resume"),
        1013: ("try_later", "back off and resume"),
        4100: ("slow_consumer", "resume"),
        4200: ("store_unavailable", "back off and resume"),
        4201: ("rate_limited", "back off and resume"),
        4400: ("bad_message", "final"),
        4401: ("bad_token", "final"),
        4403: ("forbidden", "final"),
        4404: ("unknown_conversation", "final"),
        4410: ("conversation_ended", "final"),
    }


def test_problem_types() -> None:
    """Backends switch on these."""
    table = {name: kind.status for name, kind in problems.REGISTRY.items()}

    assert table == {
        "bad-request": 400,
        "malformed-json": 400,
        "bad-position": 400,
        "empty-audio": 400,
        "not-a-wav": 400,
        "unauthorized": 401,
        "forbidden": 403,
        "unknown-conversation": 404,
        "unknown-clip": 404,
        "not-found": 404,
        "method-not-allowed": 405,
        "turn-open": 409,
        "clip-not-ready": 409,
        "conversation-ended": 410,
        "request-timeout": 408,
        "too-large": 413,
        "unsupported-media": 415,
        "unsupported-audio": 422,
        "invalid-field": 422,
        "idempotency-mismatch": 422,
        "clip-mismatch": 422,
        "upgrade-required": 426,
        "too-many-clips": 429,
        "rate-limited": 429,
        "too-many-conversations": 429,
        "vendor-failed": 502,
        "too-many-connections": 429,
        "gateway-full": 503,
        "conversation-full": 503,
        "uplink-full": 503,
        "overloaded": 503,
        "draining": 503,
        "position-ahead": 503,
        "not-restored": 503,
        "unreadable-record": 503,
        "no-owner": 503,
        "store-unavailable": 503,
        "internal": 500,
    }
