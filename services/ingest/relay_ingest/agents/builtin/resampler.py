"""Resampler: microphone audio at the rate at which a conversation speaks. Pure."""

import struct

from relay_wire.pcm import BYTES_PER_SAMPLE


def resampled(pcm: bytes, *, sample_rate: int, to: int) -> bytes:
    """The same sound at another rate, of the same length in time; samples are interpolated on a line.

    It has no filter: enough for a voice that a test repeats, and not for speech that is published. It takes
    half a second for half a minute of audio: call it in a thread.

    Args:
        pcm: The audio; half a sample at its end is cut off.
        sample_rate: Of it, in Hz.
        to: The rate of the result, in Hz.
    """
    count = len(pcm) // BYTES_PER_SAMPLE
    if not count:
        return b""
    samples = struct.unpack(f"<{count}h", pcm[: count * BYTES_PER_SAMPLE])
    following = (*samples[1:], samples[-1])
    positions = [divmod(index * sample_rate, to) for index in range(count * to // sample_rate)]
    interpolated = [(samples[at] * (to - rest) + following[at] * rest) // to for at, rest in positions]
    return struct.pack(f"<{len(interpolated)}h", *interpolated)
