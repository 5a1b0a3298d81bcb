"""The broker: the relay's URLs in the terms of Celery."""

import ssl
from pathlib import Path

import pytest

from relay_jobs.broker import Broker
from relay_settings.base import SettingsError
from relay_settings.jobs import JobsSettings


def _broker(url: str, **settings: object) -> Broker:
    return Broker.of(JobsSettings.load(jobs_broker_url=url, **settings))


@pytest.mark.parametrize(
    ("url", "celery"),
    [
        ("redis://h", "redis://h/0"),
        ("redis://h:7/2", "redis://h:7/2"),
        ("redis://h:7?db=3", "redis://h:7/3"),
        ("redis://u:p%2Fw@h:7/2", "redis://u:p%2Fw@h:7/2"),
        ("redis://:p@[::1]:7/2", "redis://:p@[::1]:7/2"),
        ("rediss://h:7/2?ssl_cert_reqs=none", "rediss://h:7/2"),
        ("unix:///run/r.sock?db=2", "redis+socket:///run/r.sock?virtual_host=2"),
        ("unix:///run/r.sock", "redis+socket:///run/r.sock?virtual_host=0"),
        ("redis+sentinel://:p@a:1,b:2/main/3", "sentinel://:p@a:1/3;sentinel://:p@b:2/3"),
    ],
)
def test_urls(url: str, celery: str) -> None:
    """Address, database and credentials arrive as they are."""
    assert _broker(url).url == celery


def test_sentinels() -> None:
    """The name of the primary and the credentials of the sentinels are options."""
    options = _broker("redis+sentinel://a:1/main?sentinel_username=s&sentinel_password=q").options
    assert options["master_name"] == "main"
    assert options["sentinel_kwargs"]["username"] == "s"
    assert options["sentinel_kwargs"]["password"] == "q"


def test_tls() -> None:
    """The certificate is checked unless the URL says otherwise; files and switches arrive."""
    assert _broker("redis://h").tls is None
    assert _broker("rediss://h").tls == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert _broker("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=no&ssl_ca_certs=/ca.pem").tls == {
        "ssl_cert_reqs": ssl.CERT_NONE,
        "ssl_check_hostname": False,
        "ssl_ca_certs": "/ca.pem",
    }


def test_a_lost_task_is_looked_for_every_second_after_every_time_limit() -> None:
    """Kombu's own sweep comes every 100 s; a task that still runs must not be delivered again."""
    options = _broker("redis://h", jobs_limit_s=30).options
    assert options["visibility_timeout"] > 30
    assert options["unacked_restore_interval"] == options["unacked_restore_throttle"] == 1


def test_relays_with_different_prefixes_share_a_broker() -> None:
    """Each key begins with the relay's prefix."""
    assert _broker("redis://h", key_prefix="staging").options["global_keyprefix"] == "staging:jobs:"


def test_credentials_in_files_are_read_for_each_connection(tmp_path: Path) -> None:
    """They change while a worker runs; the URL has none then."""
    path = tmp_path / "password"
    path.write_text("first\n")
    broker = _broker(f"redis://u@h?password_file={path}")
    assert broker.url == "redis://h/0"
    assert broker.credentials.get_credentials() == ("u", "first")
    path.write_text("second\n")
    assert broker.credentials.get_credentials() == ("u", "second")


def test_what_celery_does_not_know() -> None:
    """Mapped addresses of nodes: the broker must be named."""
    settings = JobsSettings.load(
        redis_url="redis+sentinel://a:1/main", redis_node_addresses="b:1=c:2", jobs_broker_url=None
    )
    with pytest.raises(SettingsError, match="RELAY_JOBS_BROKER_URL"):
        Broker.of(settings)


def test_messages_name_the_address_alone() -> None:
    """Not the password."""
    assert _broker("redis://u:planted@h:7/2").where == "h"
