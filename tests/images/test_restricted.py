"""Each image as restricted as Kubernetes can: it serves, writes nothing, and ends in order."""

from pathlib import Path

import pytest
import trustme
from tests.rigs.certificates import issue
from tests.rigs.containers import RESTRICTED, TMP, WITHOUT_SHELL, docker, need_image, running

from relay_streams.job_roles import ROLES

SECRETS = {
    "RELAY_TOKEN_SECRET": "planted-token-secret-of-forty-characters",
    "RELAY_API_KEYS": f"0123abcd:{'0' * 64}:admin",
    "SPATIUS_API_KEY": "planted-vendor-key",
    "SPATIUS_APP_ID": "app",
}
SETTINGS = {**SECRETS, "RELAY_REDIS_URL": "redis://redis:6379", "RELAY_DRAIN_ACCEPT_S": "1"}
DRAIN_S = 10
"""The default of RELAY_DRAIN_S."""
GRACE_S = 1 + DRAIN_S + 5
"""As docs/operations/deploy.md has it: the sum of both times and five seconds more."""
PROCESSES = [
    *((service, ()) for service in ("gateway", "control", "ingest", "simulator")),
    *(("jobs", (role,)) for role in ROLES),
]

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize(
    ("service", "role"), PROCESSES, ids=[f"{name}{''.join(role)}" for name, role in PROCESSES]
)
def test_a_service(service: str, role: tuple[str, ...], redis_network: str) -> None:
    """Without capabilities, a shell or a place to write but /tmp it gets healthy; SIGTERM ends it with 0."""
    options = [*RESTRICTED, *WITHOUT_SHELL, "--network", redis_network]
    with running(need_image(service), *role, options=options, environment=SETTINGS) as container:
        container.wait_healthy()

        assert container.python("print(open('/proc/1/cmdline').read().split('\\0')[0])").endswith("/python")
        assert container.python("import os; print(os.getuid(), os.getgid())") == "65532 65532"
        assert (
            container.python("print(open('/proc/1/status').read())").count("CapEff:\t0000000000000000") == 1
        )
        assert container.stop(GRACE_S) == 0, container.logs()
        assert not docker("diff", container.name).stdout.strip()
        written = container.logs()
        assert not [name for name, secret in SECRETS.items() if len(secret) > 10 and secret in written]


def test_the_root_file_system_needs_no_write(redis_network: str) -> None:
    """Where the engine leaves it writable, a service writes nothing there, either."""
    options = [*TMP, "--network", redis_network]
    with running(need_image("gateway"), options=options, environment=SETTINGS) as container:
        container.wait_healthy()
        container.stop(GRACE_S)
        assert not docker("diff", container.name).stdout.strip()


@pytest.mark.parametrize("admin_host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_the_health_check(admin_host, encrypted, tmp_path: Path) -> None:
    """It passes at each form of the admin address, on a host without IPv4 routes, and over TLS."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issue(trustme.CA(), chain, key)
    key.chmod(0o444)
    tmp_path.chmod(0o755)
    settings = {"RELAY_ADMIN_HOST": admin_host}
    if encrypted:
        settings |= {
            "RELAY_TLS_CERT": "/certificate/chain.pem", "RELAY_TLS_KEY": "/certificate/key.pem",
            "RELAY_TLS_ADMIN": "true",
        }  # fmt: skip
    options = [
        *RESTRICTED, "--network", "none", "--sysctl", "net.ipv6.conf.all.disable_ipv6=0",
        "--volume", f"{tmp_path}:/certificate:ro",
    ]  # fmt: skip
    with running(need_image("simulator"), options=options, environment=settings) as container:
        container.wait_healthy()


def test_a_wrong_setting() -> None:
    """The container ends with 2, and its log names the setting."""
    with running(need_image("gateway"), environment={"RELAY_GATEWAY_PORT": "http"}) as container:
        assert docker("wait", container.name).stdout.strip() == "2"
        assert "RELAY_GATEWAY_PORT" in container.logs()


def test_jobs_without_a_role() -> None:
    """The container ends with 2, and its log names the roles."""
    with running(need_image("jobs")) as container:
        assert docker("wait", container.name).stdout.strip() == "2"
        for role in ROLES:
            assert role in container.logs()
