"""RIFF files, as programs of the field write them."""

import struct

PCM = bytes(range(250)) * 8


def riff(
    pcm: bytes = PCM, *, rate: int = 16000, tag: int = 1, bits: int = 16, channels: int = 1,
    align: int | None = None, data_size: int | None = None, riff_size: int | None = None,
    before: bytes = b"", behind: bytes = b"", more: bytes = b"", kind: bytes = b"RIFF",
) -> bytes:  # fmt: skip
    """A file, with each field as given."""
    align = channels * ((bits + 7) // 8) if align is None else align
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits) + more
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + before + b"data"
    body += struct.pack("<I", len(pcm) if data_size is None else data_size) + pcm + behind
    return kind + struct.pack("<I", len(body) if riff_size is None else riff_size) + body
