"""The vendor: everything the Server SDK needs to be told.

Facts about the SDK are those of ``spatius`` 1.1.1: its telemetry in facts 1.12, its tokens in 1.4.1 and 2.1.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from spatius import AvatarSession, configure_telemetry, new_avatar_session

from relay_ingest.motion.failures import MotionFailure, failure_of
from relay_settings.environment import past_proxies
from relay_settings.ingest import IngestSettings

_TOKEN_MARGIN = timedelta(minutes=5)
"""Tokens outlive the session: whether an open one is closed at expiry is contradictory (facts 13)."""


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
        # Its token request takes no proxy from the environment, its WebSocket would: one of them would fail.
        past_proxies(urlsplit(session.config.ingress_endpoint_url).hostname or "")
        return session

    def failure(self, error: BaseException, *, opening: bool = False) -> MotionFailure:
        """What an exception of the SDK means; see ``failure_of``."""
        return failure_of(error, self._settings.vendor_key, opening=opening)
