r"""What a hint tells of its stream: the entries that are new, and the one they follow (scripts/publish.lua).

It is ``<id of the entry before>\n``, then for each entry the lengths of its id (u8), its traceparent (u8) and
its frame (u32, big-endian), and these three. A hint that tells nothing is empty. Entries have the fields that
a read has: ``f``, and ``traceparent`` when there is one.
"""

import struct
from collections.abc import Sequence

_LENGTHS = struct.Struct(">BBI")


Entry = tuple[bytes, Sequence[bytes]]
"""One stream entry, undecoded: its id, and its fields' names and values in turn."""


def inline_entries(told: bytes, cursor: bytes) -> Sequence[Entry]:
    """The entries, if they follow this id; none when they follow another, or nothing is told."""
    at = len(cursor) + 1
    if not (told.startswith(cursor) and told[at - 1 : at] == b"\n"):
        return ()
    entries: list[Entry] = []
    try:
        while at < len(told):
            id_bytes, trace_bytes, frame_bytes = _LENGTHS.unpack_from(told, at)
            start = at + _LENGTHS.size
            trace = start + id_bytes
            frame = trace + trace_bytes
            at = frame + frame_bytes
            fields: Sequence[bytes] = (b"f", told[frame:at])
            if trace_bytes:
                fields = (*fields, b"traceparent", told[trace:frame])
            entries.append((told[start:trace], fields))
    except struct.error:
        return ()  # Whoever wrote that is not our script.
    return entries if at == len(told) else ()
