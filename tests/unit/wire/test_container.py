"""Container detection: a signature decides once all of it has come; bytes that can be PCM have no name."""

import pytest

from relay_wire.container import name_of


@pytest.mark.parametrize(("head", "name"), [(b"OggS\0", "Ogg"), (b"\0\0\0\x20ftyp", "MP4"), (b"ADIF", "AAC")])
def test_a_signature_in_pieces(head: bytes, name: str) -> None:
    """The begin of one needs more bytes; as all bytes it is no format."""
    assert name_of(head) == name
    assert name_of(head[:-1]) is None
    assert name_of(head[:-1], whole=True) == ""


def test_frame_headers_in_pieces() -> None:
    """Eleven set bits need a whole header; one that declares no rate is no MP3 and no AAC."""
    assert name_of(b"\xff\xfb\x90\x00") is None
    assert name_of(b"\xff\xfb\x90\x00", whole=True) == ""
    assert name_of(b"\xff\xff\xff\xff\xff\xff") == ""


def test_bytes_that_are_not_utf_8_are_no_text() -> None:
    """Without control characters they can still be PCM."""
    assert name_of(bytes(range(0x80, 0xFF)) * 2, whole=True) == ""
    assert name_of("ÄÖÜäöüß àéîõú ÿ".encode() * 4, whole=True) == "text"
