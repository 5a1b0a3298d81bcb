"""Store failures: each is counted, an operation logs one line, and nothing else is caught."""

import pytest
import structlog

from relay_ingest.store_failures import STORE_FAILURES, store_failed, store_may_fail
from relay_redis.errors import StoreError, Unavailable


def test_one_operation_is_one_line() -> None:
    """However many partitions refuse it; the counter has each."""
    failures = STORE_FAILURES.labels("scan")._value
    before = failures.get()
    with structlog.testing.capture_logs() as lines:
        store_failed("scan", *[Unavailable("no EVALSHA") for _ in range(16)])
    assert failures.get() == before + 16
    assert [(line["operation"], line["failures"], line["error"]) for line in lines] == [
        ("scan", 16, "no EVALSHA")
    ]


def test_without_a_failure_there_is_no_line() -> None:
    """The usual case: every partition was scanned."""
    with structlog.testing.capture_logs() as lines:
        store_failed("scan")
    assert lines == []


def test_a_store_failure_ends_the_block() -> None:
    """It is counted once, and does not leave the block."""
    failures = STORE_FAILURES.labels("release")._value
    before = failures.get()
    with store_may_fail("release"):
        raise StoreError("refused")
    assert failures.get() == before + 1


def test_a_defect_leaves_the_block() -> None:
    """Only Redis's failures are expected."""
    with pytest.raises(ZeroDivisionError), store_may_fail("release"):
        raise ZeroDivisionError
