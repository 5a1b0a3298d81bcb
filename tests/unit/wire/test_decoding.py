"""Decoding: no input makes a reader raise anything but its own error."""

from collections.abc import Callable
from typing import Any

import pytest

from relay_wire import audio_socket, events, messages
from relay_wire.avatarkit import host
from relay_wire.avatarkit import messages as avatarkit

READERS: list[tuple[Callable[[str], Any], type[Exception], str]] = [
    (messages.decode, messages.MessageError, "ping"),
    (audio_socket.decode, audio_socket.AudioSocketError, "end"),
    (audio_socket.decode_answer, audio_socket.AudioSocketError, "turn"),
    (avatarkit.decode, messages.MessageError, "ping"),
    (host.decode_start, messages.MessageError, "start"),
    (lambda text: events.decode(text.encode(errors="surrogatepass")), events.EventError, "pong"),
]


@pytest.mark.parametrize("opening", ["[", '{"x":', '[{"x":'])
@pytest.mark.parametrize(("read", "error", "kind"), READERS)
def test_nesting_is_a_bad_message(read, error: type[Exception], kind: str, opening: str) -> None:
    """At any depth, in an unknown field or as the message itself."""
    deep = opening * 60_000
    for text in (deep, f'{{"type":"{kind}","action":"{kind}","x":{deep}'):
        with pytest.raises(error):
            read(text)


@pytest.mark.parametrize(("read", "error", "kind"), READERS[:-1])
def test_text_that_is_no_unicode_is_a_bad_message(read, error: type[Exception], kind: str) -> None:
    """Half a surrogate pair, as some languages cut strings; events come as bytes."""
    with pytest.raises(error):
        read(f'{{"type":"{kind}","x":"\ud800"}}')


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (messages.decode, '{"type":"playback","turn":1,"state":"%s"}' % ("z" * 60_000)),
        (messages.decode, '{"type":"%s"}' % ("z" * 60_000)),
        (messages.decode, '{"type":"ping","id":' + "[" * 60_000),
        (messages.decode, '{"type":"interrupt","x":' + "[" * 60_000),
        (audio_socket.decode, '{"type":"start","key":"%s"}' % ("z " * 30_000)),
        (audio_socket.decode, '{"type":"%s"}' % ("z" * 60_000)),
        (avatarkit.decode, '{"type":"set_avatar","avatarId":"a\\u0000zzzz"}'),
        (avatarkit.decode, '{"type":"ping","x":' + "[" * 60_000),
        (host.decode_start, '{"action":"%s"}' % ("z" * 60_000)),
        (host.decode_start, '{"action":"start","avatar_id":"a\\u0000zzzz"}'),
    ],
)
def test_a_sender_is_told_why_in_few_words(read: Callable[[str], Any], text: str) -> None:
    """What is wrong and where; nothing of the input, and nothing of how it is read here."""
    with pytest.raises(ValueError, match=r"^not a") as refused:
        read(text)
    text = str(refused.value)
    assert len(text) <= 200
    assert not any(word in text for word in ("zzzz", "regex", "recursion", "deserializ", "enum"))
