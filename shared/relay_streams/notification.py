r"""Notifications: the inline entries that one carries, as ``scripts/publish.lua`` packs them.

::

    <id of the entry before> \n                                   then for each entry:
    id bytes u8 | traceparent bytes u8 | frame bytes u32 | id | traceparent | frame

Numbers are big-endian. A notification without inline entries is empty. The entries have the fields that a
read returns: ``f``, and ``traceparent`` when there is one.
"""

import struct
from collections.abc import Sequence

_LENGTHS = struct.Struct(">BBI")


Entry = tuple[bytes, Sequence[bytes]]
"""One stream entry, undecoded: its id, and its fields: names and values, alternating."""


def inline_entries(notification: bytes, cursor: bytes) -> Sequence[Entry]:
    """The entries, if they follow this id; none when they follow another, or there are none."""
    at = len(cursor) + 1
    if not (notification.startswith(cursor) and notification[at - 1 : at] == b"\n"):
        return ()
    entries: list[Entry] = []
    try:
        while at < len(notification):
            id_bytes, trace_bytes, frame_bytes = _LENGTHS.unpack_from(notification, at)
            start = at + _LENGTHS.size
            trace = start + id_bytes
            frame = trace + trace_bytes
            at = frame + frame_bytes
            fields: Sequence[bytes] = (b"f", notification[frame:at])
            if trace_bytes:
                fields = (*fields, b"traceparent", notification[trace:frame])
            entries.append((notification[start:trace], fields))
    except struct.error:
        return ()  # Not written by our script.
    return entries if at == len(notification) else ()
