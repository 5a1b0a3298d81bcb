"""Containers and codecs that are sent where PCM is due, told by how they begin.

The signs are at least three fixed bytes. MP3 and AAC have frames that begin with 11 set bits only, which
speech can begin with, too: -1025 is ``ff fb``. They are recognised by two whole frame headers, the second
exactly where the first says, which leaves chance about one in 10^9 beginnings of loud noise.
"""

import re
from typing import Final

_SIGNS: Final = (
    (0, b"OggS\0", "Ogg"),
    (0, b"fLaC", "FLAC"),
    (0, b"caff\0", "CAF"),
    (0, b".snd\0", "AU"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x1aE\xdf\xa3", "WebM"),
    (0, b"FORM", "AIFF"),
    (4, b"ftyp", "MP4"),
)
_ID3 = re.compile(rb"ID3[\x02-\x04][^\xff].[\x00-\x7f]{4}", re.DOTALL)
_ID3_BYTES = 10
_TEXT = re.compile(
    rb"[\s]*(?:\{\s*\"|\[\s*\{|<!DOCTYPE|<html|<\?xml|data:audio/|UklGR|SUQz|T2dnUw|//[uN])[\t\r\n -~]{48}",
    re.IGNORECASE,
)
_TEXT_BYTES = 512
_MP3_KBPS = {
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES = (44_100, 48_000, 32_000)
_HEADER_BYTES = 6


def name_of(head: bytes, *, whole: bool = False) -> str | None:
    """What audio is that begins like this: a format's name, or nothing when it can be PCM.

    Args:
        head: The first bytes.
        whole: No more will come.

    Returns:
        None when it takes more bytes to tell.
    """
    for offset, sign, name in _SIGNS:
        if head[offset:].startswith(sign):
            return name
    if _ID3.match(head):
        return "MP3"
    if _TEXT.match(head[:_TEXT_BYTES]):
        return "text"
    framed = _framed(head)
    if framed is None and not whole:
        return None
    return framed or ("" if whole or not _may_begin(head) else None)


def _may_begin(head: bytes) -> bool:
    """Whether these few bytes can be the beginning of a sign that stands at the start."""
    signs = [sign for offset, sign, _ in _SIGNS if not offset]
    if any(sign.startswith(head) for sign in signs):
        return True
    return len(head) < _ID3_BYTES and head.startswith(b"ID3"[: len(head)])


def _framed(head: bytes) -> str | None:
    """MP3 or AAC by two frame headers; None when the second has not come."""
    if head[:1] not in (b"", b"\xff") or (len(head) > 1 and head[1] & 0xE0 != 0xE0):
        return ""
    if len(head) < _HEADER_BYTES:
        return None
    for name, size_of in (("MP3", _mp3_bytes), ("AAC", _adts_bytes)):
        size = size_of(head)
        if not size:
            continue
        second = head[size : size + _HEADER_BYTES]
        if len(second) < _HEADER_BYTES:
            return None
        if second[:2] == head[:2] and size_of(second) and (second[2] ^ head[2]) & 0x0C == 0:
            return name
    return ""


def _mp3_bytes(header: bytes) -> int:
    """The size of a layer III frame, 0 when it is none."""
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    if header[1] & 0xE0 != 0xE0 or version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return 0
    samples_per_bit = 144 if version == 3 else 72
    kbps = _MP3_KBPS[max(version, 2)][bitrate - 1]
    hertz = _MP3_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return samples_per_bit * kbps * 1000 // hertz + (header[2] >> 1 & 1)


def _adts_bytes(header: bytes) -> int:
    """The size of an ADTS frame, 0 when it is none."""
    if header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return 0
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return size if size > _HEADER_BYTES else 0
