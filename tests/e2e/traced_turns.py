"""Traced turns: turns of a backend that brings a trace, with a viewer at each of two gateways."""

import secrets
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.rigs.eventually import eventually

from relay_wire import events
from relay_wire.frame import HEADER_BYTES, Frame, Kind

STATE = "vendor=1"
"""The ``tracestate`` that comes with a posted turn."""
CROSSING = {"RELAY_DRAIN_S": "0.5"}
"""Settings with which an owner leaves in mid-turn when it is stopped."""


@dataclass
class TracedTurn:
    """A turn that was spoken, and its trace.

    Attributes:
        speech: What was spoken.
        trace_id: The trace.
        callers: Ids of the spans that the backend's requests came with.
        state: Its ``tracestate``.
        viewers: What they have received, by gateway.
        crossed_ns: Wall time at which its owner was stopped; 0: it was not.
    """

    speech: bytes
    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    callers: list[str] = field(default_factory=list)
    state: str = ""
    conversation: str = ""
    viewers: list[Any] = field(default_factory=list)
    crossed_ns: int = 0

    def caller(self, *, sampled: bool = True) -> str:
        """The ``traceparent`` of the next request."""
        self.callers.append(secrets.token_hex(8))
        return f"00-{self.trace_id}-{self.callers[-1]}-0{int(sampled)}"

    def frames(self, gateway: int) -> list[Frame]:
        """The frames of the turn that the viewer of a gateway has received, to its end."""
        frames: list[Frame] = []
        for frame in self.viewers[gateway].frames:
            if frame.turn == 1:
                frames.append(frame)
                if frame.kind is Kind.EVENT and isinstance(events.decode(frame.payload), events.TurnEnded):
                    break
        return frames

    def size_bytes(self, gateway: int) -> int:
        """The bytes of them."""
        return sum(HEADER_BYTES + len(frame.payload) for frame in self.frames(gateway))


async def posted(relay: Any, watching: Any, speech: bytes, *, sampled: bool = True) -> TracedTurn:
    """A turn that is posted whole."""
    turn = TracedTurn(speech, state=STATE)
    await _begin(relay, turn)
    async with watching(*turn.viewers):
        async with relay.http.post(
            f"{relay.stack.control.url}/v1/conversations/{turn.conversation}/turns",
            data=speech,
            headers={
                "X-API-Key": relay.stack.api_key, "Content-Type": "audio/pcm",
                "traceparent": turn.caller(sampled=sampled), "tracestate": STATE,
            },
        ) as response:  # fmt: skip
            assert response.status == 202
        await _end(relay, turn)
    return turn


async def crossed(relay: Any, watching: Any, speech: bytes, how: signal.Signals) -> TracedTurn:
    """A turn whose owner is stopped by a signal while it speaks, and whose rest a second request brings."""
    turn = TracedTurn(speech)
    await _begin(relay, turn)
    async with watching(*turn.viewers):
        with suppress(_Left):
            async with _speech(relay, turn) as stream:
                await stream.send(speech[: len(speech) // 2])
                await eventually(lambda: all(viewer.of(Kind.MOTION, 1) for viewer in turn.viewers))
                raise _Left
        owner = await relay.owner_of(turn.conversation)
        turn.crossed_ns = time.time_ns()
        owner.signal(how)
        await owner.wait()
        async with _speech(relay, turn) as stream:
            await stream.send(speech)
        await _end(relay, turn)
    return turn


class _Left(Exception):
    """The first request ends here, and leaves the turn open."""


def _speech(relay: Any, turn: TracedTurn) -> Any:
    return relay.backend.speech(turn.conversation, key="crossed", traceparent=turn.caller())


async def _begin(relay: Any, turn: TracedTurn) -> None:
    turn.conversation = await relay.converse()
    turn.viewers = [await relay.watch(turn.conversation, gateway) for gateway in (0, 1)]


async def _end(relay: Any, turn: TracedTurn) -> None:
    await eventually(lambda: all(1 in viewer.outcomes for viewer in turn.viewers), 20)
    await relay.backend.end(turn.conversation)
