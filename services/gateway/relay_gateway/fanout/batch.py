"""Deliveries: frames on their way to viewers, put into each protocol once for all who speak it."""

from collections.abc import Sequence

from prometheus_client import Counter

from relay_gateway.websocket import message_head
from relay_wire import frame
from relay_wire.avatarkit.texts import VendorMessages, translate


class SharedFrame:
    """One frame. What it is in the vendor's clients' protocol is made when the first of them needs it."""

    __slots__ = ("_told", "data", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = frame.position_of(data)
        self._told: VendorMessages | None = None

    @property
    def told(self) -> VendorMessages:
        """For the vendor's clients."""
        if self._told is None:
            self._told = translate(self.data)
        return self._told


NO_FRAMES = Counter("relay_gateway_no_frames_total", "Stream entries that are no frames, passed over.")


def shared_frame_of(entry_id: bytes, fields: Sequence[bytes]) -> SharedFrame | None:
    """The frame of a stream's entry; None when it has none of this place, since somebody else wrote it."""
    if fields[0] == b"f" and len(fields[1]) >= frame.HEADER_BYTES:
        delivery = SharedFrame(fields[1])
        if b"%d-%d" % delivery.position == entry_id:
            return delivery
    NO_FRAMES.inc()
    return None


class Batch:
    """Frames that follow each other, at least one."""

    __slots__ = ("_binary", "deliveries", "end")

    def __init__(self, deliveries: Sequence[SharedFrame]) -> None:
        self.deliveries = deliveries
        self.end = deliveries[-1].position
        self._binary = b""

    def __len__(self) -> int:
        return len(self.deliveries)

    @property
    def binary(self) -> bytes:
        """For native viewers: WebSocket messages, joined."""
        if not self._binary:
            self._binary = b"".join([message_head(len(each.data)) + each.data for each in self.deliveries])
        return self._binary
