"""Every counter with labels declares their values."""

import pytest
from tests.rigs.metrics import SERVICES, labelled_counters

from relay_telemetry.counter import declared


@pytest.mark.parametrize("service", SERVICES)
def test_every_counter_with_labels_is_declared(service: str) -> None:
    """Else its series would not exist before their first event, and no alert would be raised by it."""
    counters = labelled_counters(service)

    assert counters
    for name, counter in counters.items():
        assert set(declared(counter)) == set(counter._labelnames), name
