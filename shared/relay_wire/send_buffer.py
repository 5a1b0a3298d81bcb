"""Tails: the end of what a speaker gave, by byte offset, kept until it is certain to be in."""


class BufferTruncated(Exception):
    """Raised when bytes are asked for that are no longer kept.

    Attributes:
        offset: The first byte asked for.
        start: The first byte kept.
    """

    def __init__(self, offset: int, start: int) -> None:
        super().__init__(f"byte {offset} is wanted again, and only what follows {start} is kept")
        self.offset = offset
        self.start = start


class SendBuffer:
    """The last bytes of a turn.

    Args:
        start: Where in the turn it begins.
    """

    def __init__(self, start: int = 0) -> None:
        self.start = start
        """The first byte kept."""
        self._kept = bytearray()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def end(self) -> int:
        """Bytes of the turn that were given."""
        return self.start + len(self._kept)

    def add(self, pcm: bytes) -> None:
        """Keep what comes next in the turn."""
        self._kept += pcm

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Up to this many bytes from this offset on; none at the end or beyond.

        Raises:
            BufferTruncated: The offset is before the kept bytes.
        """
        if offset < self.start:
            raise BufferTruncated(offset, self.start)
        first = offset - self.start
        return bytes(memoryview(self._kept)[first : first + size_bytes])

    def trim(self, before: int) -> None:
        """Discard everything before this offset, at most what was handed out."""
        surplus = min(before, self.end) - self.start
        if surplus > 0:
            del self._kept[:surplus]
            self.start += surplus
