"""Ways in, and network policies: sockets stay open, large bodies pass, and pods reach what they need."""

from typing import Any

import pytest
from tests.chart.charts import Object, kinds, one, render, variables, workloads

from relay_settings.control import ControlSettings
from relay_settings.gateway import GatewaySettings

CONTROLLERS = ["nginx", "traefik", "haproxy", "alb", "gke"]
DRAINS_S = {"gateway": 5 + 5 + 30, "control": 5 + 5 + 20}


def default(settings: type, name: str) -> float:
    return float(settings.model_fields[name].default)  # type: ignore[attr-defined]


def annotations(controller: str, component: str = "gateway", **values: Any) -> dict[str, str]:
    objects = render(values, ci=f"ingress-{controller}")
    return dict(one(objects, "Ingress", f"relay-{component}")["metadata"].get("annotations", {}))


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_gateways_and_control_have_an_ingress_each(controller: str) -> None:
    """With names, a certificate and the controller's class."""
    for component, host in (("gateway", "relay.example.com"), ("control", "api.relay.example.com")):
        spec = one(render(ci=f"ingress-{controller}"), "Ingress", f"relay-{component}")["spec"]
        assert spec["ingressClassName"] == controller
        assert [rule["host"] for rule in spec["rules"]] == [host]
        assert spec["tls"][0]["secretName"] == "relay-tls"


def test_control_is_published_only_if_asked() -> None:
    """Backends in the cluster use its Service."""
    values = {"ingress": {"enabled": True, "gateway": {"hosts": ["relay.example.com"]}}}
    assert one(render(values, ci="production"), "Ingress")["metadata"]["name"] == "relay-gateway"


@pytest.mark.parametrize(
    ("controller", "name"),
    [
        ("nginx", "nginx.ingress.kubernetes.io/proxy-read-timeout"),
        ("nginx", "nginx.ingress.kubernetes.io/proxy-send-timeout"),
        ("haproxy", "haproxy.org/timeout-tunnel"),
        ("haproxy", "haproxy-ingress.github.io/timeout-tunnel"),
    ],
)
@pytest.mark.parametrize("component", ["gateway", "control"])
def test_a_silent_socket_stays_open(controller: str, name: str, component: str) -> None:
    """For longer than two pings are apart, with room for a network that is slow."""
    seconds = float(annotations(controller, component)[name].removesuffix("s"))
    assert seconds > 3 * default(GatewaySettings, "heartbeat_s")


@pytest.mark.parametrize(
    ("controller", "name"),
    [
        ("nginx", "nginx.ingress.kubernetes.io/proxy-body-size"),
        ("haproxy", "haproxy-ingress.github.io/proxy-body-size"),
    ],
)
def test_control_refuses_large_bodies_itself(controller: str, name: str) -> None:
    """The controller's limit is above control's, which answers with a problem instead of a page."""
    size = annotations(controller, "control")[name]
    assert int(size.removesuffix("m")) * 2**20 > default(ControlSettings, "max_turn_bytes")


def test_nothing_is_buffered_at_nginx() -> None:
    """An upload without a valid key is refused before its body is sent."""
    found = annotations("nginx", "control")
    assert found["nginx.ingress.kubernetes.io/proxy-request-buffering"] == "off"
    assert found["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"


@pytest.mark.parametrize("idle_s", [120, 3600, 100_000])
def test_a_load_balancer_of_aws_has_a_greatest_time_out(idle_s: int) -> None:
    """It refuses more than 4000 s, and the whole Ingress with it."""
    found = annotations("alb", ingress={"idleSeconds": idle_s})
    [pair] = found["alb.ingress.kubernetes.io/load-balancer-attributes"].split(",")
    assert pair == f"idle_timeout.timeout_seconds={min(idle_s, 4000)}"


@pytest.mark.parametrize("component", ["gateway", "control"])
def test_a_load_balancer_of_aws_notices_a_drain_and_waits_for_it(component: str) -> None:
    """Two probes that fail are within the time in which a drained pod still accepts connections."""
    found = {name.rpartition("/")[2]: value for name, value in annotations("alb", component).items()}
    assert found["healthcheck-path"] == "/healthz"
    assert found["healthcheck-port"] == "traffic-port"
    assert f"deregistration_delay.timeout_seconds={DRAINS_S[component]}" in found["target-group-attributes"]
    assert int(found["healthcheck-interval-seconds"]) * int(found["unhealthy-threshold-count"]) <= 10


def test_annotations_have_an_order() -> None:
    """Those of one object, those of both, those of the controller."""
    name = "nginx.ingress.kubernetes.io/proxy-read-timeout"
    both = {"annotations": {name: "7", "other": "x"}}
    assert annotations("nginx", ingress=both)[name] == "7"
    own = both | {"gateway": {"annotations": {name: "8"}}}
    assert annotations("nginx", ingress=own)[name] == "8"
    assert annotations("nginx", ingress=own)["other"] == "x"


@pytest.mark.parametrize(
    ("controller", "name", "value"),
    [
        ("nginx", "nginx.ingress.kubernetes.io/backend-protocol", "HTTPS"),
        ("traefik", "traefik.ingress.kubernetes.io/service.serversscheme", "https"),
        ("haproxy", "haproxy.org/server-ssl", "true"),
        ("alb", "alb.ingress.kubernetes.io/backend-protocol", "HTTPS"),
    ],
)
def test_pods_that_serve_tls_are_reached_over_tls(controller: str, name: str, value: str) -> None:
    """Otherwise every request is answered with 400, or not at all."""
    assert annotations(controller, tls={"existingSecret": "inner"})[name] == value
    assert annotations(controller).get(name) != value


@pytest.mark.parametrize("component", ["gateway", "control"])
def test_gke_probes_the_traffic_port(component: str) -> None:
    """Its own probe of `/` would take every pod out; its time-out is the life of a socket."""
    objects = render(ci="ingress-gke")
    config = one(objects, "BackendConfig", f"relay-{component}")["spec"]
    assert config["healthCheck"]["requestPath"] == "/healthz"
    pod = next(pod for pod in workloads(objects) if pod.component == component)
    [http] = [port["containerPort"] for port in pod.containers[0]["ports"] if port["name"] == "http"]
    assert config["healthCheck"]["port"] == http
    assert config["timeoutSec"] >= 3600
    assert config["connectionDraining"]["drainingTimeoutSec"] == DRAINS_S[component]
    service = one(objects, "Service", f"relay-{component}")["metadata"]["annotations"]
    assert service["cloud.google.com/backend-config"] == f'{{"default":"relay-{component}"}}'


def test_other_controllers_leave_the_services_alone() -> None:
    """An annotation of GKE's would make objects there that nobody asked for."""
    assert "annotations" not in one(render(ci="ingress-nginx"), "Service", "relay-gateway")["metadata"]


def test_a_route_has_no_time_out_for_sockets() -> None:
    """A request without an end; and a path before control's own is removed."""
    gateway, control = (
        one(render(ci="httproute"), "HTTPRoute", f"relay-{c}") for c in ("gateway", "control")
    )
    assert gateway["spec"]["rules"][0]["timeouts"] == {"request": "0s"}
    assert "filters" not in gateway["spec"]["rules"][0]
    [rewrite] = control["spec"]["rules"][0]["filters"]
    assert rewrite["urlRewrite"]["path"] == {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}


def test_gke_s_gateway_has_policies_instead_of_time_outs() -> None:
    """It refuses a route with time-outs."""
    objects = render(ci="httproute-gke")
    assert "timeouts" not in one(objects, "HTTPRoute")["spec"]["rules"][0]
    check = one(objects, "HealthCheckPolicy")["spec"]["default"]["config"]
    assert check["httpHealthCheck"]["requestPath"] == "/healthz"
    assert one(objects, "GCPBackendPolicy")["spec"]["default"]["timeoutSec"] >= 3600


# --- network policies ------------------------------------------------------------------------------


def policies(**values: Any) -> dict[str, Object]:
    """Policies by component."""
    objects = render(values, ci="networkpolicy")
    return {
        o["metadata"]["labels"]["app.kubernetes.io/component"]: o["spec"]
        for o in kinds(objects, "NetworkPolicy")
    }


def ports(rules: list[Object]) -> set[int | str]:
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_every_component_has_a_policy() -> None:
    """For both directions; one without would be open to everybody."""
    components = {
        pod.component for pod in workloads(render(ci="networkpolicy")) if pod.owner["kind"] != "Pod"
    }
    found = policies()
    assert found.keys() == components
    assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in found.values())


def test_who_may_connect() -> None:
    """Viewers and backends to the traffic ports, Prometheus and KEDA to admin ports, and nobody else."""
    found = policies()
    assert {name: ports(spec["ingress"]) for name, spec in found.items()} == {
        "gateway": {"http", "admin"}, "control": {"http", "admin"}, "ingest": {"admin"},
        "jobs-beat": {"admin"}, "jobs-dispatcher": {"admin"}, "jobs-worker": {"admin"},
    }  # fmt: skip
    for spec in found.values():
        assert all(rule["from"] for rule in spec["ingress"])
    keda = [peer for rule in found["ingest"]["ingress"] for peer in rule["from"] if "keda" in str(peer)]
    assert len(keda) == 1


def test_what_is_not_named_is_closed() -> None:
    """No peer of admin ports: nobody. No peer of traffic ports: everybody, since viewers are anywhere."""
    closed = policies(
        networkPolicy={"monitoringFrom": [], "viewersFrom": [], "backendsFrom": []},
        ingest={"keda": {"enabled": False}},
    )
    assert closed["ingest"]["ingress"] == []
    assert closed["gateway"]["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]


def test_pods_of_the_release_may_always_connect() -> None:
    """helm test speaks to gateways and control."""
    for component in ("gateway", "control"):
        [rule] = [r for r in policies()[component]["ingress"] if r["ports"][0]["port"] == "http"]
        labels = rule["from"][-1]["podSelector"]["matchLabels"]
        assert labels["app.kubernetes.io/instance"] == "relay"


def test_what_they_connect_to() -> None:
    """Names, Redis and the collector for all; the vendor for ingest; webhooks and storage for workers."""
    found = {name: ports(spec["egress"]) for name, spec in policies().items()}
    assert found == {
        "gateway": {53, 6379, 4318}, "control": {53, 6379, 4318}, "ingest": {53, 6379, 443, 4318},
        "jobs-beat": {53, 6379, 4318}, "jobs-dispatcher": {53, 6379, 4318},
        "jobs-worker": {53, 6379, 443, 4318},
    }  # fmt: skip
    dns = policies()["gateway"]["egress"][0]
    assert {port["protocol"] for port in dns["ports"]} == {"TCP", "UDP"}


def test_control_reaches_the_vendor_with_session_tokens_alone() -> None:
    """It has the vendor's key only then."""
    assert 443 in ports(policies(control={"sessionTokens": True})["control"]["egress"])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis.example.com", {6379}),
        ("rediss://redis.example.com:6380/0", {6380}),
        ("redis+cluster://one:7000,two:7001", {7000, 7001}),
        ("redis+sentinel://one:26379,two:26380/main/0", {26379, 26380, 6379}),
        ("redis://[fd00::1]:6390/2", {6390}),
    ],
)
def test_the_ports_of_redis_are_those_of_its_url(url: str, expected: set[int]) -> None:
    """All of them, and that of the data behind sentinels."""
    no_jobs = {"jobs": {"enabled": False}, "recordings": {"enabled": False}}
    spec = policies(redis={"url": url}, **no_jobs)["gateway"]
    [rule] = [rule for rule in spec["egress"] if rule.get("to") == [{"ipBlock": {"cidr": "10.20.0.0/24"}}]]
    assert ports([rule]) == expected


def test_the_demo_keeps_to_itself() -> None:
    """Its Redis and its simulator are peers, and nothing outside is reached."""
    objects = render({"networkPolicy": {"enabled": True}}, ci="demo")
    found = {
        o["metadata"]["labels"]["app.kubernetes.io/component"]: o["spec"]
        for o in kinds(objects, "NetworkPolicy")
    }
    assert found["redis"]["egress"] == []
    outside = [rule for rule in found["ingest"]["egress"] if not rule.get("to")]
    assert outside == []
    settings = next(variables(p.containers[0]) for p in workloads(objects) if p.component == "ingest")
    assert "simulator" in settings["SPATIUS_CONSOLE_ENDPOINT"]
