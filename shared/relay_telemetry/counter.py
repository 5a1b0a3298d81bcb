"""Counters with labels. Each of their series exists from the start, with the value 0.

``increase()`` of a series compares two of its samples, so a series that is created by its first event
hides that event. A counter is declared with the values of its labels, next to the metric:

    CLOSES = counter("relay_gateway_closes_total", "Viewer sockets closed, by code.", code=_CLOSE_LABELS)

A label whose values are known only at run time, such as the name of a Redis client, is declared with
``OPEN``; the code that knows a value calls ``expect``:

    REDIRECTS = counter("relay_redis_redirects_total", "...", link=OPEN, kind=("moved", "ask"))
    expect(REDIRECTS, link=name)

For metrics of hot paths see ``relay_telemetry.fast_counter``.
"""

from collections.abc import Iterable, Mapping
from itertools import product

from prometheus_client import Counter

OPEN: tuple[str, ...] = ()
"""The declared values of a label whose values are not known before the process runs."""

_DECLARED: dict[Counter, Mapping[str, tuple[str, ...]]] = {}


def counter(name: str, documentation: str, **labels: Iterable[str]) -> Counter:
    """Register a counter with labels, and create its series.

    Args:
        name: Of the metric; it ends in ``_total``.
        documentation: What it counts.
        labels: By label, all its possible values, or ``OPEN``.
    """
    created = Counter(name, documentation, list(labels))
    _DECLARED[created] = {label: tuple(values) for label, values in labels.items()}
    expect(created)
    return created


def expect(counter: Counter, **values: str) -> None:
    """Create the series of a counter that have these values, with every declared value of its other labels.

    Args:
        counter: Created by ``counter``.
        values: By label, the value that is known now.
    """
    labels = {**_DECLARED[counter], **{label: (value,) for label, value in values.items()}}
    for series in product(*labels.values()):
        counter.labels(*series)


def declared(counter: Counter) -> Mapping[str, tuple[str, ...]]:
    """By label, the values that a counter was declared with.

    Raises:
        KeyError: It was not created by ``counter``.
    """
    return _DECLARED[counter]
