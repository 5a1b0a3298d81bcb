"""Metrics of recordings."""

from prometheus_client import Counter, Gauge

from relay_telemetry.counter import counter

PARTS = Counter("relay_jobs_recording_parts_total", "Parts of recordings that were stored.")
BYTES = Counter("relay_jobs_recording_bytes_total", "Bytes of frames that were copied into recordings.")
FINISHED = Counter("relay_jobs_recordings_finished_total", "Recordings whose file is whole.")
GAPS = Counter(
    "relay_jobs_recording_gaps_total",
    "Places in recordings where frames are missing, since they left the stream before they were copied.",
)
LOST = Counter(
    "relay_jobs_recordings_lost_total",
    "Recordings that were never finished, since the conversation's record was gone; their parts stay.",
)
FAILURES = counter(
    "relay_jobs_recording_failures_total",
    "Attempts to copy, to finish or to remove recordings that failed; another follows.",
    step=("copy", "finish", "expire"),
)
EXPIRED = Counter(
    "relay_jobs_recording_files_removed_total", "Files removed since they were past their days."
)
UNFINISHED = Gauge(
    "relay_jobs_unfinished_recordings",
    "Recordings that are not finished, those of running conversations included; the same at every"
    " dispatcher.",
)
OVERDUE_SECONDS = Gauge(
    "relay_jobs_recordings_overdue_seconds",
    "How long the recording that has waited longest for a worker is overdue, 0 without any; the same at every"
    " dispatcher.",
)
