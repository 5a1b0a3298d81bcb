"""Messages: Motion Server's protobuf, read and written (facts 1.13). Field 7 of Message does not exist."""

from typing import Any

from google.protobuf.message import DecodeError
from spatius.proto.generated import message_pb2

AUDIO_INPUT: int = message_pb2.MESSAGE_CLIENT_AUDIO_INPUT
CONFIGURE_SESSION: int = message_pb2.MESSAGE_CLIENT_CONFIGURE_SESSION
INTERRUPT: int = message_pb2.MESSAGE_CLIENT_INTERRUPT

_LENGTH_DELIMITED_4 = 0x22
"""Field 4 of ServerResponseAnimation, length-delimited: unknown to the public schema, as the real field
of motion is, so that the SDK and a relay behave as in production (facts 1.13.1)."""
_RESPONSE_ANIMATION = 0x32
"""Field 6 of Message, length-delimited: ``server_response_animation``."""


def parse(data: bytes) -> Any:
    """Parse a client's message; None when it is malformed."""
    try:
        return message_pb2.Message.FromString(data)
    except DecodeError:
        return None


def confirm(connection_id: str) -> bytes:
    """Encode the answer of the handshake."""
    message = message_pb2.Message(type=message_pb2.MESSAGE_SERVER_CONFIRM_SESSION)
    message.server_confirm_session.connection_id = connection_id
    return _bytes(message)


def error(connection_id: str, req_id: str, code: int, text: str) -> bytes:
    """Encode a ServerError."""
    message = message_pb2.Message(type=message_pb2.MESSAGE_SERVER_ERROR)
    message.server_error.connection_id = connection_id
    message.server_error.req_id = req_id
    message.server_error.code = code
    message.server_error.message = text
    return _bytes(message)


def animation(connection_id: str, req_id: str, motion: bytes, *, end: bool) -> bytes:
    """Encode a payload as Motion Server does, with the motion in a field that the public schema omits."""
    known = message_pb2.ServerResponseAnimation(connection_id=connection_id, req_id=req_id, end=end)
    body = _bytes(known)
    if motion:
        body += bytes([_LENGTH_DELIMITED_4]) + _varint(len(motion)) + motion
    head = _bytes(message_pb2.Message(type=message_pb2.MESSAGE_SERVER_RESPONSE_ANIMATION))
    return head + bytes([_RESPONSE_ANIMATION]) + _varint(len(body)) + body


def is_end(payload: bytes) -> bool:
    """Whether a payload closes its request."""
    return bool(message_pb2.Message.FromString(payload).server_response_animation.end)


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
