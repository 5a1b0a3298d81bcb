"""Send buffer: the end of a speaker's audio, by byte offset, kept until it is safely in the uplink."""


class BufferTruncated(Exception):
    """Raised when bytes are read that the buffer no longer keeps.

    Attributes:
        offset: The first byte read.
        start: The first byte kept.
    """

    def __init__(self, offset: int, start: int) -> None:
        super().__init__(f"byte {offset} is needed again, and the buffer begins at byte {start}")
        self.offset = offset
        self.start = start


class SendBuffer:
    """The last bytes of a turn.

    Args:
        start: The offset in the turn at which it begins.
    """

    def __init__(self, start: int = 0) -> None:
        self.start = start
        """The first byte kept."""
        self._kept = bytearray()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def end(self) -> int:
        """The turn's bytes that were added."""
        return self.start + len(self._kept)

    def add(self, pcm: bytes) -> None:
        """Add the next bytes of the turn."""
        self._kept += pcm

    def read(self, offset: int, size_bytes: int) -> bytes:
        """At most ``size_bytes`` bytes from this offset on; none at the end or beyond.

        Raises:
            BufferTruncated: The offset is before the first byte kept.
        """
        if offset < self.start:
            raise BufferTruncated(offset, self.start)
        first = offset - self.start
        return bytes(memoryview(self._kept)[first : first + size_bytes])

    def trim(self, before: int) -> None:
        """Discard the bytes before this offset, as far as they were added."""
        surplus = min(before, self.end) - self.start
        if surplus > 0:
            del self._kept[:surplus]
            self.start += surplus
