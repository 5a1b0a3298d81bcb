"""Container detection: data in the place of PCM, recognised by its first bytes: containers, codecs and text.

A signature has at least three fixed bytes. MP3 and AAC have frames that begin with 11 set bits only, which
speech can begin with, too: -1025 is ``ff fb``. They are recognised by two whole frame headers, the second
exactly at the offset that the first declares: chance accepts about one in 10^9 beginnings of loud noise.
Text, as of an error or of base64, is UTF-8 without control characters for that length, and has more than a
few different bytes, unlike a constant or a square wave.
"""

import re
from codecs import BOM_UTF8, getincrementaldecoder
from typing import Final

_SIGNS: Final = (
    (0, b"OggS\0", "Ogg"), (0, b"fLaC", "FLAC"), (0, b"caff\0", "CAF"), (0, b".snd\0", "AU"),
    (0, b"dns.", "AU"), (0, b"#!AMR", "AMR"), (0, b"\x1aE\xdf\xa3", "WebM"), (0, b"FORM", "AIFF"),
    (0, b"ADIF", "AAC"), (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"), (0, b"FLV\x01", "FLV"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64"), (0, b"\x1f\x8b\x08\0", "gzip"), (0, b"\x1f\x8b\x08\x08", "gzip"),
    (0, b"PK\x03\x04", "ZIP"), (0, b"\x28\xb5\x2f\xfd", "Zstandard"),
    (4, b"ftyp", "MP4"), (4, b"styp", "MP4"), (4, b"moov", "MP4"), (4, b"moof", "MP4"), (4, b"mdat", "MP4"),
)  # fmt: skip
"""Offset, signature, name. Those of MP4 are behind a size, whose first byte is 0."""
_ID3 = re.compile(rb"ID3[\x02-\x04]\0[\0\x10-\xf0][\x00-\x7f]{4}", re.DOTALL)
_ID3_BYTES = 10
_TEXT = re.compile(rb"[\t\r\n -~\x80-\xff]*")
_MARKUP = (b"{", b"[", b"<")
_TEXT_BYTES = 64
"""Text of this size is distinguished from PCM, whatever follows."""
_SHORT_TEXT_BYTES = 24
_SHORT_MARKUP_BYTES = 12
"""Text of this size is enough when no more bytes come; more bytes are awaited after the begin of markup."""
_MOST_TEXT_BYTES = 8192
_TEXT_VARIETY = 12
"""Different bytes in a text, at least."""
_MP3_KBPS = {
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES = (44_100, 48_000, 32_000)
_HEADER_BYTES = 6


def name_of(head: bytes, *, whole: bool = False) -> str | None:
    """The name of the format that begins with these bytes; empty when they can be PCM.

    Args:
        head: The first bytes.
        whole: Whether these are all bytes.

    Returns:
        None when the decision needs more bytes.
    """
    begun = len(head) < _ID3_BYTES and head.startswith(b"ID3"[: len(head)])
    for offset, sign, name in _SIGNS:
        if _fits(head, offset, sign):
            if len(head) >= offset + len(sign):
                return name
            begun = True
    if _ID3.match(head):
        return "MP3"
    text = _text(head, whole=whole)
    framed = _framed(head, whole=whole)
    if not whole and (begun or text is None or framed is None):
        return text or framed or None
    return text or framed or ""


def _fits(head: bytes, offset: int, sign: bytes) -> bool:
    """Whether these first bytes have the signature, or its begin when they are too few."""
    if offset and (len(head) <= offset or head[0]):
        return False
    return sign.startswith(head[offset : offset + len(sign)])


def _text(head: bytes, *, whole: bool) -> str | None:
    """``text`` when it is text, else empty; None when the decision needs more bytes."""
    found = _TEXT.match(head, 0, _MOST_TEXT_BYTES)
    text = found[0].removeprefix(BOM_UTF8).lstrip() if found else b""
    least = _TEXT_BYTES
    if found and found.end() == len(head):
        is_markup = text.startswith(_MARKUP)
        if not whole and is_markup and len(text) < least:
            return None
        if whole:
            least = _SHORT_MARKUP_BYTES if is_markup else _SHORT_TEXT_BYTES
    if len(text) < least or len(set(text)) < _TEXT_VARIETY:
        return ""
    try:
        getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return ""
    return "text"


def _framed(head: bytes, *, whole: bool) -> str | None:
    """MP3 or AAC by two frame headers, or an MP3 by one whole frame; None when the second has not come."""
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
            if whole and name == "MP3" and len(head) == size:
                return name
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
