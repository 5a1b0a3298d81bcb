"""Media types: checks the declared type of a posted turn, and its content against it."""

import re
from email.message import Message

from relay_wire import problems, samples, text
from relay_wire.pcm import AudioError, check_rate
from relay_wire.problems import Problem
from relay_wire.wav import NotAWav

JSON_TYPE = "application/json"
WAV_TYPES = ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/vnd.wav", "audio/x-pn-wav")
PCM_TYPES = ("audio/pcm", "audio/l16", "application/octet-stream")
"""Little-endian. ``audio/l16``, too: synthesisers send it so, although RFC 2586 has big-endian."""

_RATES = ("rate", "samplerate", "sampleratehertz", "samplingrate", "frequency")
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
"""Separators within the name of a parameter, which senders write in different ways."""
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.0{1,9})?")
_CONTENT_TYPE = "Content-Type"
_DEFAULT = "application/octet-stream"
_SUPPORTED = "send audio/wav, or mono PCM16 little-endian as audio/pcm"


def samples_of(body: bytes, content_type: str, sample_rate: int) -> bytes:
    """Read the PCM of a request body.

    Args:
        body: The whole body.
        content_type: The header, with its parameters; empty without one.
        sample_rate: The conversation's sample rate. Nothing is resampled.

    Raises:
        Problem: The body is not audio, or not in the conversation's format.
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
    """Check a media type against the conversation's format. Returns whether it declares a WAV file.

    Raises:
        Problem: The type is not supported, or a parameter contradicts the format.
    """
    if content_type and not text.is_name(content_type, most_chars=256):
        raise Problem(problems.UNSUPPORTED_MEDIA, f"{_CONTENT_TYPE}: {_SUPPORTED}")
    header = Message()
    header[_CONTENT_TYPE] = content_type or _DEFAULT
    kind = header.get_content_type()
    if kind not in WAV_TYPES + PCM_TYPES:
        raise Problem(problems.UNSUPPORTED_MEDIA, f"content type {kind!r}: {_SUPPORTED}")
    for name, value in header.get_params([])[1:]:
        _check_parameter(str(name).lower(), str(value).lower(), sample_rate)
    return kind in WAV_TYPES


def _check_parameter(name: str, value: str, sample_rate: int) -> None:
    name = name.translate(_SEPARATORS)
    name = _ALIASES.get(name, name)
    shown = f"{_CONTENT_TYPE}: {name}={value}"
    if name in _WORDS and value.translate(_SEPARATORS) not in _WORDS[name]:
        raise Problem(problems.UNSUPPORTED_MEDIA, f"{shown}: {_SUPPORTED}")
    if name not in _RATES and name not in _NUMBERS:
        return
    if not _NUMBER.fullmatch(value.strip()):
        raise Problem(problems.UNSUPPORTED_MEDIA, f"{shown} is not a number")
    number = int(value.partition(".")[0])
    try:
        if name in _RATES:
            check_rate(number, sample_rate)
    except AudioError as error:
        raise _refused(error) from None
    if number != _NUMBERS.get(name, number):
        detail = f"{shown}: send 16-bit mono samples"
        raise Problem(problems.UNSUPPORTED_AUDIO, detail, **{name: number})


def _refused(error: AudioError) -> Problem:
    kind = problems.NOT_A_WAV if isinstance(error, NotAWav) else problems.UNSUPPORTED_AUDIO
    return Problem(kind, str(error), **error.facts)
