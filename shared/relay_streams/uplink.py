"""The uplink: speech, interrupts and reports on their way to the owner, through the ``up`` stream."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeVar

from prometheus_client import Counter

from relay_redis.client import RedisClient, Reply
from relay_settings.uplink import UplinkSettings
from relay_streams.errors import Ended, Missing, Unreplicated, UplinkFull
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.append_speech import Appended, SpeakerFence, append_speech
from relay_streams.scripts.append_uplink import Receipt, append_uplink
from relay_streams.scripts.call import Call, run
from relay_streams.scripts.find_turn import TurnInputState, find_turn
from relay_streams.scripts.hold_turn import hold_turn
from relay_streams.scripts.stop_agent import stop_agent
from relay_telemetry.counter import counter
from relay_wire import uplink

T = TypeVar("T")

REJECTED = counter(
    "relay_uplink_rejected_total",
    "Entries that the uplink did not accept.",
    reason=("uplinkfull", "ended", "missing"),
)
UNREPLICATED = Counter(
    "relay_uplink_unreplicated_total", "Speech that too few replicas of Redis had confirmed in time."
)


class Stop(NamedTuple):
    """An interrupt: every turn up to this one is cancelled."""

    upto: int
    reason: str


@dataclass(frozen=True, slots=True)
class UplinkLimits:
    """How much may be unread by the owner, per conversation. Beyond it appends raise ``UplinkFull``."""

    entries: int = 4096
    bytes: int = 16 * 1024 * 1024
    viewer_share: float = 0.5
    """The share of both that viewers may use, so that they cannot block speech."""
    silence_ms: int = 30_000
    """An open turn whose speaker is silent for longer is cut."""
    replicas: int = 0
    """Replicas of Redis that must confirm speech before it counts as appended."""
    replicas_wait_ms: int = 1000
    """How long the confirmation may take."""

    @property
    def all(self) -> tuple[int, int]:
        """Most entries and bytes."""
        return self.entries, self.bytes

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
    ``Unavailable`` when Redis cannot run the script now, or too few replicas have the entry: it may or may
    not be appended then. Repeating a chunk is safe with its turn or its key: no byte is appended twice.
    """

    def __init__(self, client: RedisClient, limits: UplinkLimits | None = None) -> None:
        self._client = client
        self._limits = limits or UplinkLimits()

    async def append_speech(
        self,
        keys: ConversationKeys,
        *,
        turn: int = 0,
        key: str = "",
        offset: int,
        pcm: bytes,
        end: bool,
        barge_in: bool = False,
        trace: str = "",
        source: str = "",
        fence: SpeakerFence | None = None,
        viewer: bool = False,
        entry_bytes: int = 2**20,
        motion: Sequence[Sequence[bytes]] = (),
    ) -> Appended:
        """Append a piece of a turn's speech; if part of it is stored already, only the remainder.

        If the stream has capacity for a part only, that part is appended; ``Appended.offset`` has its end.

        Args:
            keys: The conversation.
            turn: The turn, or 0 when it is not known: the one opened with the key, or the next.
            key: Idempotency key of the turn. It is known for eight turns.
            offset: Where the piece begins in its turn, in bytes.
            pcm: Its samples; not empty, unless the turn ends here.
            end: Whether the turn's audio ends with it.
            barge_in: When opening: cancel the turns that play or wait, instead of waiting for them.
            trace: The trace context that the piece came with, as ``Context.encode``.
            source: When opening: the kind of speaker.
            fence: Of an owner's agent; backends and viewers have none.
            viewer: Whether a viewer speaks: then it uses the viewers' share of the limits.
            entry_bytes: Longest entry of the stream; a longer piece becomes several at once, which costs a
                quarter of appending them one by one.
            motion: Of a clip, the motion payloads of each entry; else empty: Motion Server renders them.

        Raises:
            SpeakerBusy: Opening, while another turn's audio is still coming.
            TurnClosed: The turn accepts no more audio, or the agent's owner has not processed the last
                interrupt.
            Fenced: The owner of the agent has been replaced.
            InputMismatch: The turn is complete, or longer than the end given here, with other audio.
            UplinkFull: The uplink is at its limit.
            OffsetGap: The audio before this piece is missing.
        """
        limits = self._limits
        call = append_speech(
            keys,
            [pcm[start : start + entry_bytes] for start in range(0, len(pcm) or 1, entry_bytes)],
            [uplink.encode_motion(payloads) for payloads in motion],
            turn=turn,
            key=key,
            offset=offset,
            end=end,
            barge_in=barge_in,
            trace=trace,
            source=source,
            silence_ms=limits.silence_ms,
            limits=limits.all,
            viewer_limits=limits.viewers if viewer else None,
            fence=fence,
        )
        return await self._replicated(keys, call)

    async def find(self, keys: ConversationKeys, *, turn: int = 0, key: str = "") -> TurnInputState | None:
        """One of the last eight turns, by its number or its key; None when it is not among them."""
        call = find_turn(keys, turn=turn, key=key, silence_ms=self._limits.silence_ms)
        return await self._replicated(keys, call)

    async def hold(self, keys: ConversationKeys, *, turn: int, key: str, longest_ms: int) -> None:
        """Keep a turn open that has no audio now, for at most ``longest_ms`` after its last audio.

        Raises:
            TurnClosed: The turn accepts no more audio.
        """
        limits = self._limits
        call = hold_turn(
            keys,
            turn=turn,
            key=key,
            silence_ms=limits.silence_ms,
            longest_ms=longest_ms,
            limits=limits.all,
        )
        await self._replicated(keys, call)

    async def append(
        self, keys: ConversationKeys, entry: uplink.Message, fence: SpeakerFence | None = None
    ) -> Receipt:
        """Append an entry that is not speech.

        An ``Interrupt``, which cancels every turn up to that one, and a ``Close`` are always accepted; while
        one is unread, another is not appended, unless other entries than reports follow an interrupt. After a
        ``Close`` nothing else is accepted. An entry that talks over the avatar, by the conversation's
        ``talk_over``, has an interrupt appended before it, if the conversation's agent accepts it.

        Args:
            keys: The conversation.
            entry: The entry; the turn of an ``Interrupt`` is set here.
            fence: Of an owner's agent; backends and viewers have none.

        Raises:
            UplinkFull: The queue is at its limit.
            Fenced: The owner of the agent has been replaced.
        """
        limits = self._limits
        call = append_uplink(
            keys,
            entry,
            generation=fence.generation if fence else None,
            limits=limits.all,
            viewer_limits=limits.viewers,
        )
        return _read(call, await self._client.run_script(call.script, call.keys, *call.arguments))

    async def accepts(self, keys: ConversationKeys) -> str:
        """The record's ``accepts``; empty: it is not known."""
        accepts = await self._client.execute("HGET", keys.meta, "accepts")
        return (accepts or b"").decode(errors="replace")

    async def stop_agent(self, keys: ConversationKeys, *, generation: int) -> None:
        """Record that the agent of this generation's owner has stopped, and accepts no message any more."""
        await run(self._client, stop_agent(keys, generation=generation))

    async def last_stop(self, keys: ConversationKeys) -> Stop:
        """The last interrupt or barge-in, also while it waits in the stream behind speech."""
        stopped, reason = await self._client.execute("HMGET", keys.meta, "in_stopped", "in_stop_reason")
        upto = int(stopped) if stopped and stopped.isdigit() else 0
        return Stop(upto, (reason or b"").decode(errors="replace"))

    async def _replicated(self, keys: ConversationKeys, call: Call[T]) -> T:
        limits = self._limits
        script = self._client.run_script(call.script, call.keys, *call.arguments)
        if not limits.replicas:
            return _read(call, await script)
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
        return _read(call, reply)


def _read(call: Call[T], reply: Reply) -> T:
    try:
        return call.read(reply)
    except (UplinkFull, Ended, Missing) as error:
        REJECTED.labels(type(error).__name__.lower()).inc()
        raise
