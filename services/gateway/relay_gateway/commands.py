"""The uplink: what viewers say, passed on to the owner when it may be."""

import secrets
from collections.abc import Callable
from functools import cached_property
from typing import get_args

from prometheus_client import Counter

from relay_auth.viewer_tokens import Role
from relay_redis.errors import StoreError, Unavailable
from relay_streams.errors import Ended, Missing
from relay_streams.keys import ConversationKeys
from relay_streams.turn_input import TurnInput, new_key
from relay_streams.uplink import InputMismatch, SpeakerBusy, TurnClosed, Uplink, UplinkFull
from relay_telemetry.counter import counter
from relay_wire import events
from relay_wire.messages import ClipRequest, Interrupt, Microphone, Ping, Playback, Said, Text, Utterance

MESSAGES = counter(
    "relay_gateway_messages_total",
    "Messages from viewers.",
    kind=(kind.__name__.lower() for kind in get_args(Said)),
)
BAD_MESSAGES = Counter("relay_gateway_bad_messages_total", "Messages that could not be understood.")
BAD_REPORTS = Counter(
    "relay_gateway_bad_reports_total", "Playback reports that could not be understood, and were passed over."
)
DROPPED = counter(
    "relay_gateway_uplink_dropped_total",
    "Messages the uplink did not take.",
    reason=(
        "uplink_full",
        "store_unavailable",
        "turn_over",
        "conversation_ended",
        "store_refused",
        "forbidden",
        "listener_report",
    ),
)


_CHUNK_BYTES = 64 * 1024
_TAIL_BYTES = 1024 * 1024
"""Kept of a viewer's own speech, in case Redis loses it."""


class ViewerCommands:
    """One viewer's way to the owner.

    Args:
        uplink: Appends to up streams.
        keys: The viewer's conversation.
        role: What its token allows.
        speech_wait_s: How long its own speech waits for room, or for Redis; nothing else of it is read
            meanwhile.
        say: Sends an event back to it.
        reachable: Whether Redis is connected.
    """

    def __init__(
        self,
        uplink: Uplink,
        keys: ConversationKeys,
        role: Role,
        *,
        speech_wait_s: float,
        say: Callable[[events.GatewayEvent], None],
        reachable: Callable[[], bool],
    ) -> None:
        self._uplink = uplink
        self._keys = keys
        self._role = role
        self._speech_wait_s = speech_wait_s
        self._say = say
        self._reachable = reachable
        self._away = False
        self._connection = secrets.token_hex(4)
        """Tells this viewer's reports from those of others."""

    async def take(self, said: Said) -> None:
        """Pass on what was said. What the uplink cannot take is answered with an ``error`` event."""
        MESSAGES.labels(type(said).__name__.lower()).inc()
        try:
            await self._pass_on(said)
        except UplinkFull:
            self._drop("uplink_full", "too much waits for the avatar", retryable=True)
        except Unavailable:
            self._away = True
            self._drop("store_unavailable", "the relay cannot take messages now", retryable=True)
        except (SpeakerBusy, TurnClosed, InputMismatch) as error:
            self._drop("turn_over", str(error), retryable=False)
        except (Ended, Missing):
            self._drop("conversation_ended", "the conversation is over", retryable=False)
        except StoreError:
            # Redis refuses this command, by its rights or its state; others it may take.
            self._drop("store_refused", "the relay cannot take this message now", retryable=True)

    def refuse(self, why: str) -> None:
        """Tell the viewer that a message was bad."""
        self._say(events.Error("bad_message", why, retryable=False))

    async def _pass_on(self, said: Said) -> None:
        match said:
            case Ping(id):
                self._say(events.Pong(id))
            case Playback() if self._role is not Role.SPEAK:
                DROPPED.labels("listener_report").inc()  # They decide nothing; anybody may have such a token.
            case Playback(turn, state, position_ms):
                await self._up.report_playback(
                    self._keys,
                    turn=turn,
                    state=state,
                    position_ms=max(position_ms, 0),
                    viewer=self._connection,
                )
            case Interrupt() if self._may_speak():
                await self._up.interrupt(self._keys, "viewer")
            case Text(text) if self._may_speak():
                await self._up.send_text(self._keys, text)
            case Microphone(pcm, end) if self._may_speak():
                await self._up.send_microphone(self._keys, pcm, end=end)
            case ClipRequest(clip) if self._may_speak():
                await self._up.ask_for_sample(self._keys, clip)
            case Utterance(pcm, end) if self._may_speak():
                await self._speech.say(pcm, end=end)

    @cached_property
    def _speech(self) -> TurnInput:
        return TurnInput(
            uplink=self._uplink,
            keys=self._keys,
            door="viewer",
            wait_s=self._speech_wait_s,
            chunk_bytes=_CHUNK_BYTES,
            tail_bytes=_TAIL_BYTES,
            key=new_key(),
            viewer=True,
        )

    @property
    def _up(self) -> Uplink:
        # One message waits in vain for Redis; those behind it, and the pings among them, must not.
        if self._away and not self._reachable():
            raise Unavailable("Redis is still away")
        self._away = False
        return self._uplink

    def _may_speak(self) -> bool:
        if self._role is not Role.SPEAK:
            self._drop("forbidden", "the token's role is to listen", retryable=False)
        return self._role is Role.SPEAK

    def _drop(self, reason: str, text: str, *, retryable: bool) -> None:
        DROPPED.labels(reason).inc()
        self._say(events.Error(reason, text, retryable))
