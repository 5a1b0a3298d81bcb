"""Settings of jobs: which broker a relay's Redis has, and which it cannot have."""

import pytest

from relay_settings.base import SettingsError
from relay_settings.jobs import JobsSettings


@pytest.mark.parametrize(
    ("store", "broker"),
    [
        ("redis://h:1", "redis://h:1/1"),
        ("redis://u:p@h:1/3", "redis://u:p@h:1/4"),
        ("rediss://h:1/0?ssl_cert_reqs=none", "rediss://h:1/1?ssl_cert_reqs=none"),
        ("redis://h:1?db=2", "redis://h:1?db=3"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=1"),
        ("redis+sentinel://:p@a:1,b:2/main", "redis+sentinel://:p@a:1,b:2/main/1"),
        ("redis+sentinel://a:1/main/4", "redis+sentinel://a:1/main/5"),
    ],
)
def test_the_broker_is_the_next_database(store: str, broker: str) -> None:
    """Of the relay's Redis, with its credentials and options, when no broker is named."""
    assert JobsSettings.load(redis_url=store).broker_url == broker


def test_a_broker_of_its_own() -> None:
    """Counts as it is named, also beside a cluster."""
    settings = JobsSettings.load(redis_url="redis+cluster://h:1", jobs_broker_url="redis://b:2/7")
    assert settings.broker_url == "redis://b:2/7"
    assert "b:2" not in repr(settings)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"redis_url": "redis+cluster://h:1"}, "RELAY_JOBS_BROKER_URL is missing"),
        ({"jobs_broker_url": "redis+cluster://h:1"}, "RELAY_JOBS_BROKER_URL"),
        ({"jobs_broker_url": "amqp://h:1"}, "RELAY_JOBS_BROKER_URL"),
        ({"jobs_pulse_s": 5, "jobs_stalled_s": 5}, "RELAY_JOBS_STALLED_S"),
    ],
)
def test_what_cannot_be(settings: dict[str, object], named: str) -> None:
    """A broker that Celery cannot use, or a pulse that is always late, is refused at the start, by name."""
    with pytest.raises(SettingsError, match=named):
        JobsSettings.load(**settings)


def test_a_task_is_delivered_again_only_after_it_was_killed() -> None:
    """Otherwise a slow task would run twice at the same time."""
    settings = JobsSettings.load(jobs_limit_s=20)
    assert settings.redelivery_s > settings.jobs_limit_s
