"""Motion session: one session of the vendor's SDK, from its handshake to its close.

The SDK never reconnects (facts 1.4), so a session that has failed is closed and another one is opened.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import structlog
from prometheus_client import Counter
from spatius.proto.generated import message_pb2

from relay_ingest.motion.failures import CLOSED_SILENTLY, MotionFailed, MotionFailure
from relay_ingest.motion.vendor import Vendor

PAYLOADS = Counter("relay_motion_payloads_total", "Motion payloads received.")
PAYLOAD_BYTES = Counter("relay_motion_payload_bytes_total", "Bytes of motion payloads received.")
CALLBACK_DEFECTS = Counter(
    "relay_motion_callback_defects_total", "Exceptions of the relay's own code in callbacks of the SDK."
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MotionConversation:
    """The conversation that a session serves, with what Motion Server needs."""

    id: str
    avatar_id: str
    """Empty: the operator's default avatar."""
    sample_rate: int


class SessionListener(Protocol):
    """Receiver of a session's callbacks. Called on the event loop, in order; must not block."""

    def payload_received(self, req_id: str, payload: bytes, *, last: bool) -> None:
        """Handle a motion payload of a request."""

    def session_failed(self) -> None:
        """Handle the end of the session; ``MotionSession.failure`` has the reason."""


class MotionSession:
    """One WebSocket to Motion Server, for one avatar; requests follow each other on it.

    Args:
        vendor: Creates the SDK's session.
        conversation: The conversation that the session serves.
    """

    def __init__(self, vendor: Vendor, conversation: MotionConversation) -> None:
        self.failure: MotionFailure | None = None
        """The first failure; the session is of no use after it."""
        self.id = ""
        """The vendor's id of the connection."""
        self.opened_at = 0.0
        """When the handshake was done, on the event loop's clock."""
        self._vendor = vendor
        self._log = log.bind(conversation=conversation.id)
        self._listener: SessionListener | None = None
        self._usable = True
        self._sdk = vendor.session(
            avatar_id=conversation.avatar_id,
            sample_rate=conversation.sample_rate,
            transport_frames=self._on_frames,
            on_error=self._on_error,
            on_close=self._on_close,
        )

    async def open(self) -> None:
        """Get a token, connect and shake hands.

        After a failure or a cancellation the session must be closed: the SDK leaves its socket open (facts
        1.4).

        Raises:
            MotionFailed: The vendor refused, or could not be reached.
        """
        try:
            await self._sdk.init()
            self.id = await self._sdk.start()
        except Exception as error:  # the SDK raises three families of them
            raise MotionFailed(self._vendor.failure(error, opening=True)) from error
        self.opened_at = asyncio.get_running_loop().time()
        self._log.info("motion session opened", connection_id=self.id)

    def attach(self, listener: SessionListener) -> None:
        """Pass callbacks to the listener from now on."""
        self._listener = listener

    def detach(self) -> None:
        """Ignore all further callbacks."""
        self._usable = False
        self._listener = None

    async def send(self, pcm: bytes, *, end: bool) -> str:
        """Send audio of the open request, or of a new one; ``end`` ends the request. One call at a time.

        Returns:
            The request's id.

        Raises:
            MotionFailed: The session has failed.
        """
        try:
            return await self._sdk.send_audio(pcm, end=end)
        except Exception as error:  # the SDK raises three families of them
            raise MotionFailed(self.failure or self._vendor.failure(error)) from error

    async def close(self, timeout_s: float) -> None:
        """Close the session, within ``timeout_s`` if the peer is frozen; the SDK itself would wait 10 s."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._sdk.close()
        except TimeoutError:
            # The second close returns at once and discards what is left (facts 1.7).
            await self._sdk.close()
        except Exception as error:  # noqa: BLE001  # the session is over, whatever the SDK raises
            failure = self._vendor.failure(error)
            self._log.warning("motion session close failed", code=failure.code, error=failure.detail)

    # --- callbacks of the SDK ------------------------------------------------------------------

    def _on_frames(self, payload: bytes, last: bool) -> None:  # noqa: FBT001  # the SDK's signature
        if not self._usable:
            return
        PAYLOADS.inc()
        PAYLOAD_BYTES.inc(len(payload))
        try:
            req_id = message_pb2.Message.FromString(payload).server_response_animation.req_id
            if self._listener is not None:
                self._listener.payload_received(req_id, payload, last=last)
        except Exception as error:  # noqa: BLE001  # the SDK would swallow it (facts 1.7)
            CALLBACK_DEFECTS.inc()
            self._log.exception("motion payload could not be handled")
            self._fail(self._vendor.failure(error))

    def _on_error(self, error: Exception) -> None:
        self._fail(self._vendor.failure(error))

    def _on_close(self) -> None:
        self._fail(CLOSED_SILENTLY)

    def _fail(self, failure: MotionFailure) -> None:
        """The first failure counts."""
        if self._usable:
            self._usable = False
            self.failure = failure
            if self._listener is not None:
                self._listener.session_failed()
