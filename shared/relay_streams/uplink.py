"""The uplink: speech, interrupts and reports on their way to the owner, through the ``up`` stream."""

from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import Counter

from relay_streams import scripts
from relay_streams.errors import Ended, Missing
from relay_streams.keys import ConversationKeys
from relay_streams.link import Link, Reply
from relay_wire.messages import PlaybackState

REFUSALS = Counter("relay_uplink_refusals_total", "Uplink entries the store did not take.", ["reason"])


class Busy(Exception):
    """Raised when a turn cannot open because another is being spoken.

    Attributes:
        turn: The turn that is open.
    """

    def __init__(self, turn: int) -> None:
        super().__init__(f"turn {turn} is open")
        self.turn = turn


class Closed(Exception):
    """Raised when the turn takes no more audio: it was ended or interrupted."""


class Full(Exception):
    """Raised when the queue is at its limit: wait for the owner, then repeat the same chunk."""


class Missed(Exception):
    """Raised when chunks before this one are not in.

    Attributes:
        offset: Where the turn's audio ends in the store.
    """

    def __init__(self, offset: int) -> None:
        super().__init__(f"the turn has {offset} bytes")
        self.offset = offset


class Spoken(NamedTuple):
    """A chunk that is in."""

    turn: int
    offset: int
    """Bytes of the turn that are in, this chunk included."""


@dataclass(frozen=True, slots=True)
class UplinkLimits:
    """How much may wait for an owner, per conversation. At the limit speech is refused with ``Full``."""

    entries: int = 4096
    bytes: int = 16 * 1024 * 1024
    silence_ms: int = 30_000
    """An open turn whose speaker is silent for longer may be superseded."""


class Uplink:
    """Appends to ``up`` streams.

    All methods raise ``Missing`` or ``Ended`` when there is no conversation to append to, and
    ``Unavailable`` when Redis cannot take it now: then the entry may or may not be in. Repeating a
    chunk with its turn and offset is safe, since a chunk that is in is not taken again.
    """

    def __init__(self, link: Link, limits: UplinkLimits | None = None) -> None:
        self._link = link
        self._limits = limits or UplinkLimits()

    async def speak(
        self,
        keys: ConversationKeys,
        *,
        turn: int,
        offset: int,
        pcm: bytes,
        end: bool,
        barge_in: bool = False,
        traceparent: str = "",
    ) -> Spoken:
        """Append a chunk of a turn's speech.

        Args:
            keys: The conversation.
            turn: The turn, or 0 to open the next one with this chunk.
            offset: Where the chunk begins in its turn, in bytes.
            pcm: Its samples.
            end: Whether the turn's audio ends with it.
            barge_in: When opening: cancel what is spoken or waits, instead of waiting for it.
            traceparent: When opening: the turn's trace context.

        Raises:
            Busy: Opening, while another turn's audio is still coming.
            Closed: The turn takes no more.
            Full: Too much waits for the owner.
            Missed: Chunks before this one are missing.
        """
        limits = self._limits
        reply = await self._link.run_script(
            scripts.SPEAK,
            (keys.meta, keys.up),
            turn,
            offset,
            pcm,
            "1" if end else "",
            "1" if barge_in else "",
            traceparent,
            limits.entries,
            limits.bytes,
            limits.silence_ms,
        )
        match reply[0]:
            case b"ok" | b"have":
                return Spoken(reply[1], reply[2])
            case b"busy":
                raise Busy(reply[1])
            case b"closed":
                raise Closed
            case b"behind":
                raise Missed(reply[2])
        raise _refusal(reply)

    async def interrupt(self, keys: ConversationKeys, reason: str) -> int:
        """Cancel every turn opened so far. Returns the last of them."""
        return await self._tell(keys, "interrupt", "r", reason)

    async def report_playback(
        self, keys: ConversationKeys, *, turn: int, state: PlaybackState, position_ms: int
    ) -> None:
        """Pass on a viewer's playback report; raises ``Full`` at the limit."""
        await self._tell(keys, "playback", "t", turn, "s", state, "p", position_ms)

    async def send_text(self, keys: ConversationKeys, text: str) -> None:
        """Pass on a viewer's text; raises ``Full`` at the limit."""
        await self._tell(keys, "text", "d", text)

    async def send_microphone(self, keys: ConversationKeys, pcm: bytes) -> None:
        """Pass on a viewer's microphone audio; raises ``Full`` at the limit."""
        await self._tell(keys, "mic", "d", pcm)

    async def close(self, keys: ConversationKeys, reason: str) -> None:
        """Ask the owner to end the conversation. No speech is taken after this."""
        await self._tell(keys, "close", "r", reason)

    async def _tell(self, keys: ConversationKeys, kind: str, *fields: str | bytes | int) -> int:
        reply = await self._link.run_script(
            scripts.TELL, (keys.meta, keys.up), kind, self._limits.entries, *fields
        )
        if reply[0] == b"ok":
            return int(reply[1])
        raise _refusal(reply)


def _refusal(reply: Reply) -> Exception:
    reason = reply[0].decode()
    REFUSALS.labels(reason).inc()
    match reason:
        case "full":
            return Full("too much waits for the owner")
        case "ended":
            return Ended("the conversation is over")
        case _:
            return Missing("there is no such conversation")
