"""Entries of a down stream, and the frames they hold."""

from collections.abc import Sequence

from relay_gateway.fanout.batch import SharedFrame
from relay_telemetry.fast_counter import FastCounter
from relay_wire import frame

Entry = tuple[bytes, Sequence[bytes]]
"""The id of a stream entry, and the names and values of its fields, alternating."""

FOREIGN = FastCounter(
    "relay_gateway_foreign_entries_total",
    "Stream entries that were skipped: they hold no frame with their id.",
)


def frame_of(entry_id: bytes, fields: Sequence[bytes]) -> SharedFrame | None:
    """The frame of an entry; None when it holds none with its id, since another program has written it."""
    if fields[0] == b"f" and len(fields[1]) >= frame.HEADER_BYTES:
        shared = SharedFrame(fields[1])
        if b"%d-%d" % shared.position == entry_id:
            return shared
    FOREIGN.value += 1
    return None
