"""Clients of the relay: ``Viewer`` and ``Backend``.

A viewer watches a conversation over ``avatar-relay.v1``; it reconnects, resumes and checks the order of
frames:

    async with Viewer("ws://127.0.0.1:8080", conversation, token) as viewer:
        async for frame in viewer:
            ...

A backend creates conversations and speaks in them; it reconnects and resumes, and each byte is spoken once:

    async with Backend("http://127.0.0.1:8081", api_key) as backend:
        conversation = await backend.create()
        async with backend.speech(conversation.id) as stream:
            async for pcm in synthesise(text):
                await stream.send(pcm)
"""

from relay_client.backend import Backend
from relay_client.errors import (
    BackendError,
    Closed,
    ControlUnavailable,
    Refused,
    RelayError,
    RequestRefused,
    SpeechError,
    SpeechInterrupted,
    SpeechLost,
    SpeechRefused,
    ViewerError,
)
from relay_client.resources import Clip, Conversation, DailyUsage, TurnAccepted, ViewerToken
from relay_client.speech_stream import SpeechStream
from relay_client.viewer import Observer, Report, Token, Viewer

__all__ = [
    "Backend",
    "BackendError",
    "Clip",
    "Closed",
    "ControlUnavailable",
    "Conversation",
    "DailyUsage",
    "Observer",
    "Refused",
    "RelayError",
    "Report",
    "RequestRefused",
    "SpeechError",
    "SpeechInterrupted",
    "SpeechLost",
    "SpeechRefused",
    "SpeechStream",
    "Token",
    "TurnAccepted",
    "Viewer",
    "ViewerError",
    "ViewerToken",
]
