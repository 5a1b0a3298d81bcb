"""WAV and raw PCM: what a backend may post as a turn, checked before anything is spoken."""

import io
import wave

from relay_wire import problems
from relay_wire.pcm import BYTES_PER_SAMPLE, SAMPLE_RATES
from relay_wire.problems import Problem

WAV_TYPES = frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})
PCM_TYPES = frozenset({"audio/pcm", "audio/l16", "application/octet-stream"})


def samples_of(body: bytes, content_type: str, sample_rate: int) -> bytes:
    """The PCM in a request's body.

    Args:
        body: The whole body.
        content_type: Without parameters, in lower case.
        sample_rate: What the conversation speaks at; nothing resamples.

    Raises:
        Problem: The body is not audio, or not audio this conversation can speak.
    """
    if content_type in WAV_TYPES:
        pcm = _read_wav(body, sample_rate)
    elif content_type in PCM_TYPES:
        pcm = body
    else:
        raise Problem(
            problems.UNSUPPORTED_MEDIA,
            f"content type {content_type!r}: send audio/wav, or mono PCM16 little-endian as audio/pcm",
        )
    if not pcm:
        raise Problem(problems.EMPTY_AUDIO, "send at least one sample")
    if len(pcm) % BYTES_PER_SAMPLE:
        raise Problem(
            problems.UNSUPPORTED_AUDIO, f"{len(pcm)} bytes are not whole 16-bit samples", audio_bytes=len(pcm)
        )
    return pcm


def _read_wav(body: bytes, sample_rate: int) -> bytes:
    pcm: bytes
    if not body:
        raise Problem(problems.EMPTY_AUDIO, "send a WAV file")
    try:
        with wave.open(io.BytesIO(body)) as wav:
            channels, width, rate = wav.getnchannels(), wav.getsampwidth(), wav.getframerate()
            pcm = wav.readframes(wav.getnframes())
    except (wave.Error, EOFError, RuntimeError) as error:  # the last: a chunk's size lies
        raise Problem(problems.NOT_A_WAV, f"the body is not a PCM WAV file: {error}") from None
    if channels != 1:
        raise Problem(problems.UNSUPPORTED_AUDIO, f"{channels} channels: send mono", channels=channels)
    if width != BYTES_PER_SAMPLE:
        raise Problem(problems.UNSUPPORTED_AUDIO, f"{8 * width}-bit samples: send 16-bit", bits=8 * width)
    if rate not in SAMPLE_RATES:
        raise Problem(
            problems.UNSUPPORTED_AUDIO, f"{rate} Hz: the avatar speaks at {SAMPLE_RATES}", sample_rate=rate
        )
    if rate != sample_rate:
        raise Problem(
            problems.UNSUPPORTED_AUDIO,
            f"{rate} Hz, but the conversation was created for {sample_rate} Hz and nothing resamples",
            sample_rate=rate,
        )
    return pcm
