"""The uplink: speech, interrupts and reports on their way to the owner, through the ``up`` stream."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from prometheus_client import Counter

from relay_redis.client import RedisClient, Reply
from relay_settings.uplink import UplinkSettings
from relay_streams import scripts
from relay_streams.conversations import INPUT_STATES
from relay_streams.errors import (
    Ended,
    Fenced,
    InputMismatch,
    Missing,
    OffsetGap,
    SpeakerBusy,
    TurnClosed,
    Unreplicated,
    UplinkFull,
)
from relay_streams.keys import ConversationKeys
from relay_telemetry.counter import counter
from relay_turns.phase import InputState
from relay_wire import uplink

REFUSALS = counter(
    "relay_uplink_refusals_total",
    "Uplink entries the store did not take.",
    reason=("full", "ended", "missing"),
)
UNREPLICATED = Counter(
    "relay_uplink_unreplicated_total", "Speech that too few replicas had in time to acknowledge it."
)


class SpeakerFence(NamedTuple):
    """By what right an owner's agent speaks: in this term, and knowing of every interrupt up to an entry."""

    generation: int
    heard: str
    """The last up entry that was acted on."""


class Appended(NamedTuple):
    """A piece that is in, or its beginning."""

    turn: int
    offset: int
    """Bytes of the turn that are in: also what another attempt said after this piece."""


class Stop(NamedTuple):
    """An interrupt: every turn up to this one is cancelled."""

    upto: int
    reason: str


class TurnInputState(NamedTuple):
    """How far a turn's audio is."""

    turn: int
    offset: int
    """Bytes that are in."""
    state: InputState
    key: str
    """What it was opened with."""


@dataclass(frozen=True, slots=True)
class UplinkLimits:
    """How much may wait for an owner, per conversation. At the limit ``UplinkFull`` refuses speech."""

    entries: int = 4096
    bytes: int = 16 * 1024 * 1024
    viewer_share: float = 0.5
    """How much of both may be of viewers, so that they cannot keep speech out."""
    silence_ms: int = 30_000
    """An open turn whose speaker is silent for longer takes no more."""
    replicas: int = 0
    """Replicas of Redis that must have speech before it counts as in."""
    replicas_wait_ms: int = 1000
    """How long they may take."""

    @property
    def viewers(self) -> tuple[int, int]:
        """Most entries and bytes of viewers."""
        return max(1, int(self.entries * self.viewer_share)), int(self.bytes * self.viewer_share)

    @classmethod
    def of(cls, settings: UplinkSettings) -> Self:
        """The limits every process of the relay has."""
        return cls(
            entries=settings.uplink_entries,
            bytes=settings.uplink_bytes,
            viewer_share=settings.uplink_viewer_share,
            silence_ms=int(settings.silence_s * 1000),
            replicas=settings.redis_replicas,
            replicas_wait_ms=int(settings.redis_replicas_wait_s * 1000),
        )


class Uplink:
    """Appends to ``up`` streams.

    All methods raise ``Missing`` or ``Ended`` when there is no conversation to append to, and
    ``Unavailable`` when Redis cannot take it now, or too few replicas have it: then the entry may or may
    not be in. Repeating a chunk is safe with its turn or its key, since what is in is not taken again.
    """

    def __init__(self, client: RedisClient, limits: UplinkLimits | None = None) -> None:
        self._client = client
        self._limits = limits or UplinkLimits()

    async def speak(
        self,
        keys: ConversationKeys,
        *,
        turn: int = 0,
        key: str = "",
        offset: int,
        pcm: bytes,
        end: bool,
        barge_in: bool = False,
        traceparent: str = "",
        term: SpeakerFence | None = None,
        viewer: bool = False,
        entry_bytes: int = 2**20,
    ) -> Appended:
        """Append a piece of a turn's speech. Of one that is in partly, the rest is appended.

        Where there is not room for all of it, the beginning is: ``Appended.offset`` says how much.

        Args:
            keys: The conversation.
            turn: The turn, or 0 when it is not known: the one opened with the key, or the next.
            key: What the turn is opened with. It is known for eight turns.
            offset: Where the piece begins in its turn, in bytes.
            pcm: Its samples; not empty, unless the turn ends here.
            end: Whether the turn's audio ends with it.
            barge_in: When opening: cancel what is spoken or waits, instead of waiting for it.
            traceparent: When opening: the turn's trace context.
            term: For an owner's agent. A door has none.
            viewer: Whether a viewer speaks: then it takes room from the share of viewers.
            entry_bytes: Longest entry of the stream; a longer piece becomes several at once, which costs a
                quarter of appending them one by one.

        Raises:
            Busy: Opening, while another turn's audio is still coming.
            Closed: The turn takes no more, or the agent has not heard the last interrupt.
            Fenced: The agent's owner has been replaced.
            Mismatch: The turn is complete, or further than its end as given here, with other audio.
            Full: Too much waits for the owner.
            Missed: What comes before this piece is missing.
        """
        reply = await self._speak(
            keys,
            turn,
            key,
            offset,
            "1" if end else "",
            "1" if barge_in else "",
            traceparent,
            term=term,
            viewer=viewer,
            chunks=[pcm[start : start + entry_bytes] for start in range(0, len(pcm) or 1, entry_bytes)],
        )
        match reply[0]:
            case b"in":
                return Appended(reply[1], reply[2])
            case b"busy":
                raise SpeakerBusy(reply[1])
            case b"over" if reply[3] == b"cut":
                raise TurnClosed(reply[1])
            case b"over":
                raise InputMismatch(reply[1], reply[2])
            case b"behind":
                raise OffsetGap(reply[1], reply[2])
            case b"fenced":
                raise Fenced(int(reply[1]))
        raise _refusal(reply)

    async def find(self, keys: ConversationKeys, *, turn: int = 0, key: str = "") -> TurnInputState | None:
        """How far one of the last eight turns is, by its number or by what it was opened with."""
        reply = await self._speak(keys, turn, key, 0, "", "", "")
        match reply[0]:
            case b"in":
                return TurnInputState(reply[1], reply[2], INPUT_STATES[reply[3]], reply[4].decode())
            case b"unknown":
                return None
        raise _refusal(reply)

    async def hold(self, keys: ConversationKeys, *, turn: int, key: str, longest_ms: int) -> None:
        """Keep a turn open whose speaker is silent and alive, at most so long after its last audio.

        Raises:
            Closed: The turn takes no more audio.
        """
        reply = await self._speak(keys, turn, key, 0, "", "", "", longest_hold_ms=longest_ms)
        match reply[0]:
            case b"in" if reply[3] == b"open":
                return
            case b"in" | b"over":
                raise TurnClosed(reply[1])
            case b"unknown":
                raise TurnClosed(turn)
        raise _refusal(reply)

    async def append(
        self, keys: ConversationKeys, entry: uplink.Message, fence: SpeakerFence | None = None
    ) -> int:
        """Append an entry that is not speech. Returns the turn opened last.

        An ``Interrupt``, which cancels every turn up to that one, and a ``Close`` are always accepted; while
        one is unread, another is not appended, unless other entries than reports follow an interrupt. After a
        ``Close`` nothing else is accepted. An entry that talks over the avatar, by the conversation's
        ``talk_over``, has an interrupt appended before it.

        Args:
            keys: The conversation.
            entry: The entry; the turn of an ``Interrupt`` is set here.
            fence: Of an owner's agent; backends and viewers have none.

        Raises:
            UplinkFull: The queue is at its limit.
            Fenced: The owner of the agent has been replaced.
        """
        _, kind, *fields = entry.encode()
        limits = self._limits
        reply = await self._client.run_script(
            scripts.TELL,
            (keys.meta, keys.up),
            kind,
            fence.generation if fence else "",
            limits.entries,
            limits.bytes,
            *limits.viewers,
            *fields,
        )
        match reply[0]:
            case b"ok":
                return int(reply[1])
            case b"fenced":
                raise Fenced(int(reply[1]))
        raise _refusal(reply)

    async def last_stop(self, keys: ConversationKeys) -> Stop:
        """The last interrupt or barge-in, also while it waits in the stream behind speech."""
        stopped, reason = await self._client.execute("HMGET", keys.meta, "in_stopped", "in_stop_reason")
        upto = int(stopped) if stopped and stopped.isdigit() else 0
        return Stop(upto, (reason or b"").decode(errors="replace"))

    async def _speak(
        self,
        keys: ConversationKeys,
        *arguments: str | int,
        term: SpeakerFence | None = None,
        viewer: bool = False,
        longest_hold_ms: int | None = None,
        chunks: Sequence[bytes] = (),
    ) -> Reply:
        limits = self._limits
        script = self._client.run_script(
            scripts.SPEAK,
            (keys.meta, keys.up),
            *arguments,
            limits.entries,
            limits.bytes,
            limits.silence_ms,
            *(limits.viewers if viewer else ("", "")),
            *(term or ("", "")),
            "" if longest_hold_ms is None else longest_hold_ms,
            *chunks,
        )
        if not limits.replicas:
            return await script
        # Both leave in one write: a WAIT over another connection would not wait for this script.
        wait = self._client.execute("WAIT", limits.replicas, limits.replicas_wait_ms, key=keys.meta)
        outcomes: tuple[Reply, Reply] = await asyncio.gather(script, wait, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        reply, replicas = outcomes
        if replicas < limits.replicas:
            UNREPLICATED.inc()
            raise Unreplicated(f"{replicas} of {limits.replicas} replicas of Redis have the speech")
        return reply


def _refusal(reply: Reply) -> Exception:
    reason = reply[0].decode()
    REFUSALS.labels(reason).inc()
    match reason:
        case "full":
            return UplinkFull()
        case "ended":
            return Ended("the conversation is over")
        case _:
            return Missing("there is no such conversation")
