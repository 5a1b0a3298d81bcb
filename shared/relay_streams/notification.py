r"""Notifications: the inline entries that one carries, as ``scripts/publish.lua`` packs them.

::

    <id of the entry before> \t                      then for each entry:
    id bytes u8 | trace bytes u16 | frame bytes u32 | id | trace | frame

Numbers are big-endian. A trace is a ``traceparent``, and a ``tracestate`` after a space when there is one. A
notification without inline entries is empty. The entries have the fields that a read returns: ``f``, and of
frames that are sampled ``traceparent`` and ``tracestate``.

The tab names this layout. Versions with another have a line feed there: neither finds entries in what the
other writes, and so reads the stream instead.
"""

import struct
from collections.abc import Sequence

_LENGTHS = struct.Struct(">BHI")
Entry = tuple[bytes, Sequence[bytes]]
"""One stream entry, undecoded: its id, and its fields: names and values, alternating."""


def inline_entries(notification: bytes, cursor: bytes) -> Sequence[Entry]:
    """The entries, if they follow this id; none when they follow another, or there are none."""
    at = len(cursor) + 1
    if not (notification.startswith(cursor) and notification[at - 1 : at] == b"\t"):
        return ()
    entries: list[Entry] = []
    try:
        while at < len(notification):
            id_bytes, trace_bytes, frame_bytes = _LENGTHS.unpack_from(notification, at)
            start = at + _LENGTHS.size
            trace = start + id_bytes
            frame = trace + trace_bytes
            at = frame + frame_bytes
            data = notification[frame:at]
            fields = _traced(data, notification[trace:frame]) if trace_bytes else (b"f", data)
            entries.append((notification[start:trace], fields))
    except struct.error:
        return ()  # Not written by our script.
    return entries if at == len(notification) else ()


def _traced(frame: bytes, trace: bytes) -> Sequence[bytes]:
    """The fields of a sampled frame."""
    if b" " not in trace:
        return (b"f", frame, b"traceparent", trace)
    traceparent, _, state = trace.partition(b" ")
    return (b"f", frame, b"traceparent", traceparent, *((b"tracestate", state) if state else ()))
