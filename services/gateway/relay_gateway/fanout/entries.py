"""Entries of a down stream, and the frames in them."""

from collections.abc import Sequence

from relay_gateway.fanout.batch import SharedFrame, Trace
from relay_telemetry.fast_counter import FastCounter
from relay_wire import frame

Entry = tuple[bytes, Sequence[bytes]]
"""The id of a stream entry, and the names and values of its fields, alternating."""

FOREIGN = FastCounter(
    "relay_gateway_foreign_entries_total",
    "Stream entries that were skipped, since they have no frame with their id.",
)


class EntryDecoder:
    """Reads the frames of one stream's entries."""

    __slots__ = ("_generation", "_prefix")

    def __init__(self) -> None:
        self._generation = -1
        """The generation of the last frame."""
        self._prefix = b""
        """The start of that generation's ids: most of what formatting an id costs."""

    def decode(self, entries: Sequence[Entry]) -> list[SharedFrame]:
        """The frames of consecutive entries, in order.

        An entry without a frame whose position is the entry's id is skipped and counted: another program
        has written it.
        """
        frames: list[SharedFrame] = []
        generation, prefix = self._generation, self._prefix
        for entry_id, fields in entries:
            if fields[0] == b"f" and len(fields[1]) >= frame.HEADER_BYTES:
                shared = SharedFrame(fields[1])
                position = shared.position
                if position[0] != generation:
                    generation, prefix = position[0], b"%d-" % position[0]
                if entry_id == prefix + str(position[1]).encode():
                    if len(fields) > 2:
                        shared.trace = _trace(fields)
                    frames.append(shared)
                    continue
            FOREIGN.value += 1
        self._generation, self._prefix = generation, prefix
        return frames


def _trace(fields: Sequence[bytes]) -> Trace | None:
    """The context in the fields of an entry, if it has one."""
    traceparent = tracestate = b""
    for place in range(2, len(fields) - 1, 2):
        name = fields[place]
        if name == b"traceparent":
            traceparent = fields[place + 1]
        elif name == b"tracestate":
            tracestate = fields[place + 1]
    return (traceparent, tracestate) if traceparent else None
