"""Media types: what a posted turn says it is, checked with what it is before anything is spoken."""

import re
from email.message import Message

from relay_wire import problems, samples, text
from relay_wire.pcm import AudioError, check_rate
from relay_wire.problems import Problem
from relay_wire.wav import NotAWav

WAV_TYPES = ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/vnd.wav", "audio/x-pn-wav")
PCM_TYPES = ("audio/pcm", "audio/l16", "application/octet-stream")
"""Little-endian, ``audio/l16`` too: synthesisers that send it mean that, whatever RFC 2586 says."""

_RATE = ("rate", "samplerate", "sampleratehertz", "samplingrate", "frequency")
_NUMBERS = {
    "channels": 1, "channel": 1, "channelcount": 1, "numchannels": 1,
    "bits": 16, "bitdepth": 16, "depth": 16, "bitspersample": 16, "samplesize": 16, "samplewidth": 16,
}  # fmt: skip
_WORDS = {
    "codec": frozenset(
        {"pcm", "pcm16", "pcms16le", "s16le", "s16", "int16", "linear16", "lpcm", "l16", "1", "signedinteger"}
    ),
    "endian": frozenset({"little", "littleendian", "le"}),
}
_ALIASES = {
    "codecs": "codec", "encoding": "codec", "format": "codec", "sampleformat": "codec",
    "endianness": "endian", "byteorder": "endian",
}  # fmt: skip
_SEPARATORS = str.maketrans("", "", "-_ ")
"""Between the words of a parameter, which senders write as they like."""
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.0{1,9})?")
_CONTENT_TYPE = "Content-Type"
_DEFAULT = "application/octet-stream"
_HOW = "send audio/wav, or mono PCM16 little-endian as audio/pcm"


def samples_of(body: bytes, content_type: str, sample_rate: int) -> bytes:
    """The PCM in a request's body.

    Args:
        body: The whole body.
        content_type: The header, with its parameters; empty when there is none.
        sample_rate: What the conversation speaks at; nothing resamples.

    Raises:
        Problem: The body is not audio, or not audio this conversation can speak.
    """
    is_wav = check_type(content_type, sample_rate)
    if not body:
        raise Problem(problems.EMPTY_AUDIO, "send a WAV file" if is_wav else "send at least one sample")
    try:
        pcm, _ = samples.read(body, sample_rate, wav=is_wav)
    except AudioError as error:
        raise _refused(error) from None
    if not pcm:
        raise Problem(problems.EMPTY_AUDIO, "send at least one sample")
    return pcm


def check_type(content_type: str, sample_rate: int) -> bool:
    """Compare a media type with what the conversation speaks. Whether it promises a WAV file.

    Raises:
        Problem: It is none of ours, or has a parameter that does not suit.
    """
    if content_type and not text.is_name(content_type, most_chars=256):
        raise Problem(problems.UNSUPPORTED_MEDIA, f"{_CONTENT_TYPE}: {_HOW}")
    header = Message()
    header[_CONTENT_TYPE] = content_type or _DEFAULT
    kind = header.get_content_type()
    if kind not in WAV_TYPES + PCM_TYPES:
        raise Problem(problems.UNSUPPORTED_MEDIA, f"content type {kind!r}: {_HOW}")
    for name, value in header.get_params([])[1:]:
        _check_parameter(str(name).lower(), str(value).lower(), sample_rate)
    return kind in WAV_TYPES


def _check_parameter(name: str, value: str, sample_rate: int) -> None:
    name = name.translate(_SEPARATORS)
    name = _ALIASES.get(name, name)
    shown = f"{_CONTENT_TYPE}: {name}={value}"
    if name in _WORDS and value.translate(_SEPARATORS) not in _WORDS[name]:
        raise Problem(problems.UNSUPPORTED_MEDIA, f"{shown}: {_HOW}")
    if name not in _RATE and name not in _NUMBERS:
        return
    if not _NUMBER.fullmatch(value.strip()):
        raise Problem(problems.UNSUPPORTED_MEDIA, f"{shown} is no number")
    number = int(value.partition(".")[0])
    try:
        if name in _RATE:
            check_rate(number, sample_rate)
    except AudioError as error:
        raise _refused(error) from None
    if number != _NUMBERS.get(name, number):
        detail = f"{shown}: send 16-bit mono samples"
        raise Problem(problems.UNSUPPORTED_AUDIO, detail, **{name: number})


def _refused(error: AudioError) -> Problem:
    kind = problems.NOT_A_WAV if isinstance(error, NotAWav) else problems.UNSUPPORTED_AUDIO
    return Problem(kind, str(error), **error.facts)
