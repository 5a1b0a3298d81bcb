"""Decoding: no input makes a reader raise anything but its own error."""

from collections.abc import Callable
from typing import Any

import pytest

from relay_wire import events, messages, speaker
from relay_wire.compat import host
from relay_wire.compat import messages as compat

READERS: list[tuple[Callable[[str], Any], type[Exception], str]] = [
    (messages.decode, messages.MessageError, "ping"),
    (speaker.decode, speaker.SpeakerError, "end"),
    (speaker.decode_answer, speaker.SpeakerError, "turn"),
    (compat.decode, messages.MessageError, "ping"),
    (host.decode_start, messages.MessageError, "start"),
    (lambda text: events.decode(text.encode(errors="surrogatepass")), events.EventError, "pong"),
]


@pytest.mark.parametrize("opening", ["[", '{"x":', '[{"x":'])
@pytest.mark.parametrize(("read", "error", "kind"), READERS)
def test_nesting_is_a_bad_message(read, error: type[Exception], kind: str, opening: str) -> None:
    """However deep, in a field that nobody knows or as the message itself."""
    deep = opening * 60_000
    for text in (deep, f'{{"type":"{kind}","action":"{kind}","x":{deep}'):
        with pytest.raises(error):
            read(text)


@pytest.mark.parametrize(("read", "error", "kind"), READERS[:-1])
def test_text_that_is_no_unicode_is_a_bad_message(read, error: type[Exception], kind: str) -> None:
    """Half a surrogate pair, as some languages cut strings; events come as bytes."""
    with pytest.raises(error):
        read(f'{{"type":"{kind}","x":"\ud800"}}')
