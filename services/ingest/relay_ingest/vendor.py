"""The vendor: everything the Server SDK needs to be told, and what its failures mean.

Facts about the SDK are those of ``spatius`` 1.1.1: its errors in facts 1.14, its telemetry in 1.12,
its tokens in 1.4.1 and 2.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from spatius import (
    AvatarSDKError,
    AvatarSDKErrorCode,
    AvatarSession,
    SessionTokenError,
    configure_telemetry,
    new_avatar_session,
)

from relay_settings.ingest import IngestSettings

_TOKEN_MARGIN = timedelta(minutes=5)
"""Tokens outlive the session: whether an open one is closed at expiry is contradictory (facts 13)."""

# The SDK leaves the meaning of close codes to us (facts 1.14).
_CLOSE_CODES = {
    4001: AvatarSDKErrorCode.creditsExhausted,
    4002: AvatarSDKErrorCode.sessionDurationExceeded,
    4010: AvatarSDKErrorCode.sessionTokenExpired,
}

# Worth another session soon; everything else needs a human first (facts 1.14, policy of the vendor's docs).
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


@dataclass(frozen=True, slots=True)
class MotionFailure:
    """Why motion stopped, in the vendor's words. Safe to log and to show: no secret, no token."""

    code: str
    message: str
    phase: str
    retryable: bool


class Vendor:
    """Makes Motion sessions with the operator's credentials.

    Making one turns the SDK's telemetry off, or to the operator's collector, before any session can
    start it: it is on by default, to the vendor (facts 1.12).
    """

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        configure_telemetry(settings.vendor_telemetry_endpoint)

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
        return new_avatar_session(
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


def failure_of(error: BaseException) -> MotionFailure:
    """What an exception of the SDK means."""
    if not isinstance(error, AvatarSDKError):
        # Misuse is a plain ValueError, sending after a close among it (facts 1.5, 1.14).
        return MotionFailure("invalidState", f"{type(error).__name__}: {error}", "unknown", retryable=True)
    code = _CLOSE_CODES.get(error.close_code or 0, error.code)
    token_refused = isinstance(error, SessionTokenError) and error.http_status in (400, 401, 403)
    return MotionFailure(
        code=code.value,
        message=error.message,
        phase="session_token" if isinstance(error, SessionTokenError) else error.phase,
        # The SDK reads 401 as an expired token, but where a token is asked for it is the API key.
        retryable=code in _RETRYABLE and not token_refused,
    )


CLOSED_SILENTLY = MotionFailure(
    "connectionClosed", "Motion Server closed the session", "websocket_runtime", retryable=True
)
"""A close with 1000 or 1001 brings no error, only ``on_close`` (facts 1.7)."""
