"""Wrong values are refused before anything is installed, with a message that names the value."""

from typing import Any

import pytest
from tests.chart.charts import CI_FILES, Refused, render

Values = dict[str, Any]

BY_THE_SCHEMA: list[tuple[Values, str]] = [
    ({"gatway": {}}, "gatway"),
    ({"gateway": {"replica": 3}}, "replica"),
    ({"gateway": {"replicas": -1}}, "/gateway/replicas"),
    ({"gateway": {"replicas": "3"}}, "/gateway/replicas"),
    ({"gateway": {"drain": {"seconds": -5}}}, "/gateway/drain/seconds"),
    ({"gateway": {"pdb": {"maxUnavailable": 0}}}, "/gateway/pdb/maxUnavailable"),
    ({"gateway": {"pdb": {"minAvailable": 1}}}, "minAvailable"),
    ({"gateway": {"resources": {"limit": {}}}}, "limit"),
    ({"gateway": {"service": {"type": "ExternalName"}}}, "/gateway/service/type"),
    ({"gateway": {"service": {"port": 70000}}}, "/gateway/service/port"),
    ({"gateway": {"autoscaling": {"minReplicas": 0}}}, "/gateway/autoscaling/minReplicas"),
    ({"gateway": {"autoscaling": {"targetCPUPercent": "70%"}}}, "/gateway/autoscaling/targetCPUPercent"),
    ({"gateway": {"keda": {"enabled": True}}}, "keda"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"image": {"digests": {"gateway": "latest"}}}, "/image/digests/gateway"),
    ({"global": {"ipFamilies": ["IPv5"]}}, "/global/ipFamilies/0"),
    ({"auth": {"secret": "x"}}, "secret"),
    ({"ingest": {"keda": {"minReplicas": 0}}}, "/ingest/keda/minReplicas"),
    ({"ingest": {"keda": {"neededWorkers": 1.5}}}, "/ingest/keda/neededWorkers"),
    ({"ingest": {"keda": {"unownedSeconds": 0}}}, "/ingest/keda/unownedSeconds"),
    ({"ingest": {"keda": {"fallback": {"failures": 0}}}}, "/ingest/keda/fallback/failures"),
    ({"ingress": {"controller": "apache"}}, "/ingress/controller"),
    ({"ingress": {"idleSeconds": 20}}, "/ingress/idleSeconds"),
    ({"ingress": {"gateway": {"path": "relay"}}}, "/ingress/gateway/path"),
    ({"ingress": {"gateway": {"hosts": ["https://relay.example.com"]}}}, "/ingress/gateway/hosts/0"),
    ({"ingress": {"gateway": {"hosts": "relay.example.com"}}}, "/ingress/gateway/hosts"),
    ({"ingress": {"control": {"pathType": "Regex"}}}, "/ingress/control/pathType"),
    ({"httpRoute": {"requestTimeout": "never"}}, "/httpRoute/requestTimeout"),
    ({"httpRoute": {"parentRefs": {"name": "public"}}}, "/httpRoute/parentRefs"),
    ({"networkPolicy": {"viewersFrom": [{"cidr": "10.0.0.0/8"}]}}, "/networkPolicy/viewersFrom/0"),
    ({"networkPolicy": {"egress": {"vendor": {"ports": ["https"]}}}}, "/networkPolicy/egress/vendor/ports/0"),
    ({"monitoring": {"podMonitor": {"interval": 15}}}, "/monitoring/podMonitor/interval"),
    ({"monitoring": {"dashboard": {}}}, "dashboard"),
    ({"settings": {"RELAY_LOG_LEVEL": "loud"}}, "RELAY_LOG_LEVEL"),
    ({"settings": {"RELAY_LOG_LEVLE": "debug"}}, "RELAY_LOG_LEVLE"),
]

BY_CHECKS: list[tuple[Values, str]] = [
    ({"auth": {"existingSecret": ""}}, "auth.existingSecret"),
    ({"vendor": {"existingSecret": ""}}, "vendor.existingSecret"),
    ({"vendor": {"appId": ""}}, "vendor.appId"),
    ({"redis": {"url": ""}}, "redis.url"),
    ({"redis": {"url": "redis://user:secret@host:6379"}}, "redis"),
    ({"gateway": {"publicUrl": ""}}, "gateway.publicUrl"),
    ({"gateway": {"publicUrl": "https://relay.example.com"}}, "gateway.publicUrl"),
    ({"settings": {"RELAY_TOKEN_SECRET": "x"}}, "auth.existingSecret"),
    ({"settings": {"RELAY_DRAIN_S": 10}}, "drain"),
    ({"settings": {"RELAY_GATEWAY_URL": "wss://x"}}, "gateway.publicUrl"),
    ({"recordings": {"enabled": True}}, "jobs.enabled"),
    ({"clips": {"enabled": True}}, "jobs.enabled"),
    ({"ingress": {"enabled": True}}, "ingress.gateway.hosts"),
    ({"ingress": {"enabled": True, "gateway": {"enabled": False}}}, "ingress.enabled"),
    (
        {"ingress": {"enabled": True, "gateway": {"hosts": ["a"]}, "control": {"enabled": True}}},
        "ingress.control.hosts",
    ),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
    (
        {"httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}], "gateway": {"enabled": False}}},
        "httpRoute.enabled",
    ),
    ({"ingest": {"autoscaling": {"enabled": True}, "keda": {"enabled": True}}}, "ingest.keda.enabled"),
    ({"gateway": {"autoscaling": {"enabled": True, "minReplicas": 20}}}, "gateway.autoscaling.maxReplicas"),
    ({"ingest": {"keda": {"enabled": True, "minReplicas": 20}}}, "ingest.keda.maxReplicas"),
    ({"gateway": {"autoscaling": {"enabled": True, "targetCPUPercent": ""}}}, "targetViewers"),
    (
        {
            "ingest": {
                "keda": {
                    "enabled": True,
                    "neededWorkers": "",
                    "unownedSeconds": "",
                    "unownedConversations": "",
                }
            }
        },
        "ingest.keda",
    ),
    (
        {"monitoring": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
        "monitoring.serviceMonitor.enabled",
    ),
]


@pytest.mark.parametrize(("values", "name"), BY_THE_SCHEMA, ids=lambda value: str(value)[:60])
def test_the_schema_refuses(values: Values, name: str) -> None:
    """An unknown key, a wrong type, a value outside of its bounds."""
    with pytest.raises(Refused) as refused:
        render(values, ci="production")
    assert "values don't meet the specifications of the schema" in str(refused.value)
    assert name in str(refused.value)


@pytest.mark.parametrize(("values", "name"), BY_CHECKS, ids=lambda value: str(value)[:60])
def test_the_chart_refuses(values: Values, name: str) -> None:
    """What is missing, and what contradicts another value."""
    with pytest.raises(Refused) as refused:
        render(values, ci="production")
    assert name in str(refused.value)


def test_a_refusal_shows_no_secret() -> None:
    """A URL of Redis with a password is refused without it."""
    with pytest.raises(Refused) as refused:
        render({"redis": {"url": "redis://user:hunter2@host:6379"}}, ci="production")
    assert "hunter2" not in str(refused.value)


def test_without_any_value_it_is_refused() -> None:
    """The message names the first value that is missing, or the demo that needs none."""
    with pytest.raises(Refused) as refused:
        render()
    assert "demo.enabled" in str(refused.value)


def test_every_file_of_ci_is_accepted() -> None:
    """The table above refuses what it has, not what is around it."""
    assert {"demo", "production"} <= set(CI_FILES)
    assert render(ci="production")
