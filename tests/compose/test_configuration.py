"""docker-compose.yml as compose resolves it: what every container must have."""

import re
from typing import Any

import pytest
from tests.compose.engine import LEFT_OUT, PORTS, STAND_INS, Engine, need_compose
from tests.rigs.imports import ROOT

CLOSING_S = 5
"""Time after a drain for closing handshakes and traces."""


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Every service, those of profiles too."""
    need_compose()
    configuration = Engine(dict.fromkeys(["REDIS_IMAGE", *STAND_INS, *LEFT_OUT.values()], "")).configuration()
    found: dict[str, Any] = configuration["services"]
    return found


def seconds(duration: str) -> int:
    minutes, _, rest = duration.rpartition("m")
    return int(minutes or 0) * 60 + int(rest.removesuffix("s") or 0)


def test_the_parts_of_a_relay_and_the_profiles(services: dict[str, Any]) -> None:
    """Without a profile it is a whole relay; the rest is behind one."""
    plain = {name for name, service in services.items() if not service.get("profiles")}
    profiles = {profile for service in services.values() for profile in service.get("profiles", ())}
    assert plain == {
        "redis", "simulator", "control", "ingest", "gateway", "proxy", "worker", "beat", "dispatcher",
    }  # fmt: skip
    assert profiles == {"tools", "observability", "load", "cluster", "tls"}
    assert services["gateway"]["deploy"]["replicas"] == 2
    assert services["ingest"]["deploy"]["replicas"] == 2


def test_every_container_is_confined(services: dict[str, Any]) -> None:
    """Read-only, without capabilities, not root, with limits of memory, processors and processes."""
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].split(":")[0] not in ("", "0", "root"), name
        assert any(mount.startswith("/tmp:") for mount in service["tmpfs"]), name  # noqa: S108
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert not {"privileged", "network_mode", "pid", "ipc", "devices"} & set(service), name


def test_every_published_port_is_on_loopback(services: dict[str, Any]) -> None:
    """And each can be moved by a variable."""
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert set(PORTS.values()) <= {port["published"] for port in ports}
    assert not services["redis"].get("ports")


def test_the_grace_period_covers_the_drain(services: dict[str, Any]) -> None:
    """A process that drains is not killed."""
    for name in ("gateway", "control", "ingest", "worker", "beat", "dispatcher"):
        settings = services[name]["environment"]
        drain_s = float(settings["RELAY_DRAIN_ACCEPT_S"]) + float(settings["RELAY_DRAIN_S"])
        assert seconds(services[name]["stop_grace_period"]) >= drain_s + CLOSING_S, name


def test_no_secret_is_in_an_environment(services: dict[str, Any]) -> None:
    """Secrets are files, which docker inspect does not show."""
    for name, service in services.items():
        secret = {"RELAY_API_KEY", "RELAY_API_KEYS", "RELAY_TOKEN_SECRET", "SPATIUS_API_KEY"}
        assert not secret & set(service.get("environment") or {}), name


def test_services_start_in_order(services: dict[str, Any]) -> None:
    """Redis first, the proxy after gateways; each waits for health."""
    assert services["proxy"]["depends_on"]["gateway"]["condition"] == "service_healthy"
    for name in ("gateway", "control", "ingest", "worker", "beat", "dispatcher"):
        assert services[name]["depends_on"]["redis"]["condition"] == "service_healthy", name


def test_settings_of_redis(services: dict[str, Any]) -> None:
    """As docs/operations/redis.md has them."""
    flags = " ".join(services["redis"]["command"])
    for flag in ("appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction", "timeout 0"):
        assert f"--{flag}" in flags


def test_images_have_tags_without_digests(services: dict[str, Any]) -> None:
    """Tags that can be read, and none that moves by itself to another major version."""
    images = {name: service["image"] for name, service in services.items()}
    assert not [name for name, image in images.items() if "@" in image or ":" not in image]
    assert not [name for name, image in images.items() if image.endswith(":latest")]


def test_images_of_the_relay_are_built_here(services: dict[str, Any]) -> None:
    """Missing ones are built, and never those that a stranger may have under the same name in a registry."""
    for name, service in services.items():
        built = service["image"].startswith("avatar-relay/")
        assert ("build" in service, service.get("pull_policy") == "never") == (built, built), name


def test_images_are_built_on_python_alone() -> None:
    """A base that has the name of an image of the relay would be looked for at a registry."""
    text = (ROOT / "deploy" / "docker" / "Dockerfile").read_text("utf-8")
    bases = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.MULTILINE)
    stages = {stage for _, stage in bases}
    assert {base for base, _ in bases} - stages == {"${PYTHON_IMAGE}", "${SERVICE}"}
    assert list((ROOT / "deploy").rglob("Dockerfile*")) == [ROOT / "deploy" / "docker" / "Dockerfile"]


def test_prometheus_scrapes_every_process_of_the_relay(services: dict[str, Any]) -> None:
    """A service with an admin port is in its configuration; commands have the settings, and no port."""
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8")
    [names] = re.findall(r"names: \[(.*)\]", text)
    admin = {name for name, one in services.items() if "RELAY_ADMIN_PORT" in (one.get("environment") or {})}
    assert set(names.split(", ")) == admin - {"cli"}
