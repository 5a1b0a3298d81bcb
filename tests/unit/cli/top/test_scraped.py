"""Scraped metrics: samples are read by series and label, and absent series differ from zero."""

import math

import pytest

from relay_cli.top.scraped import Scraped, ScrapeError

TEXT = """\
# TYPE viewers gauge
viewers{protocol="native"} 3
viewers{protocol="avatarkit_json"} 2
# TYPE wait gauge
wait{consumer="a"} 0.5
wait{consumer="b"} 4
relay_build_info{service="gateway",version="1.2"} 1
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.1",kind="x"} 1
latency_seconds_bucket{le="0.1",kind="y"} 2
latency_seconds_bucket{le="+Inf",kind="x"} 5
latency_seconds_bucket{le="+Inf",kind="y"} 5
latency_seconds_bucket 9
"""


def test_samples_are_summed_over_the_labels_that_are_not_named() -> None:
    found = Scraped.parse(TEXT)

    assert found.total("viewers") == 5
    assert found.total("viewers", protocol="native") == 3
    assert found.by("viewers", "protocol") == {"native": 3, "avatarkit_json": 2}
    assert found.largest("wait") == 4
    assert found.text("relay_build_info", "version") == "1.2"


def test_the_buckets_of_a_histogram_are_by_edge() -> None:
    """Other labels are summed, and a sample without an edge is no bucket."""
    assert Scraped.parse(TEXT).buckets("latency_seconds") == {0.1: 3, math.inf: 10}


def test_what_is_absent_is_none_or_empty() -> None:
    """Zero would be read as a measurement."""
    found = Scraped.parse(TEXT)

    assert found.total("missing") is None
    assert found.total("viewers", protocol="other") is None
    assert found.largest("missing") is None
    assert found.by("missing", "label") == {}
    assert found.text("missing", "label") == ""
    assert found.buckets("missing") == {}


@pytest.mark.parametrize("text", ["", "<html>\n<body>Not found</body>\n</html>", "a b c d"])
def test_other_formats_are_refused(text: str) -> None:
    """The error has a reason that can be shown."""
    with pytest.raises(ScrapeError, match="the answer"):
        Scraped.parse(text)
