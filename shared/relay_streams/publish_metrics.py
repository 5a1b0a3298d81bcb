"""Publish metrics: what writers append, how long that takes, and what they lose."""

from prometheus_client import Counter, Histogram

from relay_telemetry.counter import counter
from relay_telemetry.fast_counter import FastCounter, FastCounters
from relay_wire.frame import Kind

_KINDS = [kind.name.lower() for kind in Kind]
FRAMES = FastCounters("relay_publish_frames_total", "Frames appended and acknowledged.", "kind", _KINDS)
FRAME_BYTES = FastCounters(
    "relay_publish_bytes_total", "Bytes of frames appended and acknowledged.", "kind", _KINDS
)
RETRANSMITTED = Counter(
    "relay_publish_retransmitted_total", "Acknowledged frames appended again, since Redis had lost them."
)
RESTORED = counter(
    "relay_publish_restored_total",
    "Ownerships restored after Redis lost data.",
    reason=("missing", "taillost", "fenced", "gone"),
)
RETRIES = Counter("relay_publish_retries_total", "Script calls repeated, since Redis could not run them.")
LOST = counter(
    "relay_publish_lost_total",
    "Writers closed by a final error.",
    reason=("fenced", "missing", "refused", "unencodable", "storeerror"),
)
SECONDS = Histogram(
    "relay_publish_seconds",
    "From append to acknowledgement, of the first batch of each call.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
PUBLISHED_AT = FastCounter(
    "relay_ingest_published_timestamp_seconds",
    "Wall time of the last frame acknowledged; 0 before the first.",
)
STREAM_BYTES = FastCounter(
    "relay_stream_retained_bytes",
    "Bytes of frames of this worker's ownerships that their streams keep, without those that wait to be"
    " copied into a recording.",
)
