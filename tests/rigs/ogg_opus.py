"""Ogg Opus by RFC 7845, with packets that no decoder would take: only headers and lengths matter."""

import struct

TICKS_PER_MS = 48
PRE_SKIP = 312


def page(packets: list[bytes], granule: int, sequence: int = 0, flags: int = 0) -> bytes:
    """One page."""
    lacing = b"".join(bytes([255] * (len(packet) // 255) + [len(packet) % 255]) for packet in packets)
    header = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 7, sequence, 0, len(lacing))
    return header + lacing + b"".join(packets)


def headers(sample_rate: int, pre_skip: int = PRE_SKIP) -> bytes:
    """The two pages that a stream begins with."""
    head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, pre_skip, sample_rate, 0, 0)
    tags = struct.pack("<8sI4sI", b"OpusTags", 4, b"test", 0)
    return page([head], 0, 0, flags=2) + page([tags], 0, 1)


def stream(duration_ms: int, sample_rate: int, *, frame_ms: int = 20, pre_skip: int = PRE_SKIP) -> bytes:
    """A whole stream of this duration: a page per packet, the last one trimmed, as the SDK encodes."""
    pages, whole = [], duration_ms * TICKS_PER_MS + pre_skip
    for number, end in enumerate(range(0, whole, frame_ms * TICKS_PER_MS)):
        granule = min(end + frame_ms * TICKS_PER_MS, whole)
        packet = bytes([number % 251] * (40 + number % 300))
        pages.append(page([packet], granule, number + 2, flags=4 * (granule == whole)))
    return headers(sample_rate, pre_skip) + b"".join(pages)
