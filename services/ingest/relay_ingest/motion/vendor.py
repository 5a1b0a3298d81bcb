"""Vendor: the Server SDK's sessions with the operator's credentials, and the meaning of its exceptions.

Facts about the SDK are those of ``spatius`` 1.1.1: its telemetry in facts 1.12, its errors in 1.14, its
tokens in 1.4.1 and 2.1.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from spatius import (
    AvatarSDKError,
    AvatarSDKErrorCode,
    AvatarSession,
    SessionTokenError,
    configure_telemetry,
    new_avatar_session,
)
from spatius.net import get_ssl_context

from relay_ingest.motion.failures import (
    API_KEY_REFUSED,
    INVALID_CONFIGURATION,
    INVALID_STATE,
    MESSAGES,
    PHASES,
    MotionFailure,
    loggable,
)
from relay_settings.environment import past_proxies
from relay_settings.ingest import IngestSettings

_TOKEN_MARGIN = timedelta(minutes=5)
"""Tokens outlive the session: whether an open one is closed at expiry is contradictory (facts 13)."""

# The SDK leaves the meaning of close codes to its user (facts 1.14).
_CLOSE_CODES = {
    4001: AvatarSDKErrorCode.creditsExhausted,
    4002: AvatarSDKErrorCode.sessionDurationExceeded,
    4010: AvatarSDKErrorCode.sessionTokenExpired,
}

# Worth another session soon; everything else needs an operator first (facts 1.14, policy of the vendor's
# docs).
_RETRYABLE = {
    AvatarSDKErrorCode.connectionClosed,
    AvatarSDKErrorCode.connectionFailed,
    AvatarSDKErrorCode.egressUnavailable,
    AvatarSDKErrorCode.idleTimeout,
    AvatarSDKErrorCode.serverError,
    AvatarSDKErrorCode.sessionDurationExceeded,
    AvatarSDKErrorCode.sessionTokenExpired,
    AvatarSDKErrorCode.sessionTokenInvalid,
    AvatarSDKErrorCode.upstreamError,
}

_KEY_STATUSES = (401, 403)
_BAD_REQUEST = 400


class Vendor:
    """Creates sessions of the SDK.

    The constructor turns the SDK's telemetry off, or to the operator's collector, before any session can
    start it: it is on by default, to the vendor (facts 1.12).
    """

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        configure_telemetry(settings.vendor_telemetry_endpoint)

    @staticmethod
    def load() -> None:
        """Read the certificates of authorities, which the SDK reads for its first session.

        Blocks for about 0.1 s: in the event loop, every conversation of the worker would stop for that time.
        """
        get_ssl_context()

    def session(
        self,
        *,
        avatar_id: str,
        sample_rate: int,
        transport_frames: Callable[[bytes, bool], None],
        on_error: Callable[[Exception], None],
        on_close: Callable[[], None],
    ) -> AvatarSession:
        """A session that is not connected yet."""
        settings = self._settings
        life = timedelta(seconds=settings.motion_session_s) + _TOKEN_MARGIN
        session = new_avatar_session(
            avatar_id=avatar_id or settings.avatar_id,
            api_key=settings.vendor_key,
            app_id=settings.app_id,
            expire_at=datetime.now(UTC) + life,
            sample_rate=sample_rate,
            region=settings.region,
            console_endpoint_url=settings.console_endpoint,
            ingress_endpoint_url=settings.ingress_endpoint,
            transport_frames=transport_frames,
            on_error=on_error,
            on_close=on_close,
        )
        # Its token request uses no proxy of the environment, its WebSocket would: one of them would fail.
        past_proxies(urlsplit(session.config.ingress_endpoint_url).hostname or "")
        return session

    def failure(self, error: BaseException, *, opening: bool = False) -> MotionFailure:
        """The meaning of an exception of the SDK; see ``failure_of``."""
        return failure_of(error, self._settings.vendor_key, opening=opening)


def failure_of(error: BaseException, *secrets: str, opening: bool = False) -> MotionFailure:
    """The meaning of an exception.

    Args:
        error: The SDK's, or one that left it.
        secrets: Masked in its text.
        opening: Whether a session was being opened.
    """
    if not isinstance(error, AvatarSDKError):
        # Misuse is a plain ValueError: sending after a close, a key that fits no header (facts 1.5, 1.14).
        detail = loggable(f"{type(error).__name__}: {error}", *secrets)
        if opening and isinstance(error, ValueError | TypeError):
            return MotionFailure(INVALID_CONFIGURATION, detail, "session_token", retryable=False)
        return MotionFailure(INVALID_STATE, detail, "unknown", retryable=True)
    detail = loggable(error.message, *secrets)
    code = _CLOSE_CODES.get(error.close_code or 0, error.code)
    if isinstance(error, SessionTokenError):
        # The SDK reads the word "unauthorized", or the status, as a fault of the configuration or the token;
        # in the answer to a token request, it is the API key that is refused.
        if error.http_status in _KEY_STATUSES:
            return MotionFailure(API_KEY_REFUSED, detail, "session_token", retryable=False)
        retryable = code in _RETRYABLE and error.http_status != _BAD_REQUEST
        return MotionFailure(_known(code), detail, "session_token", retryable)
    phase = error.phase if error.phase in PHASES else "unknown"
    return MotionFailure(_known(code), detail, phase, retryable=code in _RETRYABLE)


def _known(code: AvatarSDKErrorCode) -> str:
    return code.value if code.value in MESSAGES else "unknown"
