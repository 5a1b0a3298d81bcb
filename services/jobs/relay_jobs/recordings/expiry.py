"""Expiry: which files of recordings are past their days. Files of other names than the relay's never are."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from relay_jobs.recordings import layout
from relay_jobs.recordings.layout import Owned
from relay_jobs.storage import Storage

_DAY_S = 86_400.0


def expired(storage: Storage, keep_days: float, now_s: float) -> Iterator[tuple[str, Owned]]:
    """The files that are past their days, with what they are of. Blocks.

    A file is when it was stored so long ago. A folder of a younger date is not read: none of its files is.

    Args:
        storage: The storage.
        keep_days: The days.
        now_s: Seconds since the epoch.
    """
    before_s = now_s - keep_days * _DAY_S
    day_after = (datetime.fromtimestamp(before_s, UTC) + timedelta(days=1)).date()
    for folder in storage.folders():
        if not layout.is_older(folder, day_after):
            continue
        for file in storage.files(folder):
            owned = layout.owned(file.name)
            if owned is not None and file.modified_s < before_s:
                yield file.name, owned
