"""The doctor's findings: each names what to do."""

import socket
from contextlib import closing
from pathlib import Path

import pytest
from tests.rigs import object_storage
from tests.rigs.gateway import open_gateways

from relay_cli.doctor.examination import examine
from relay_cli.doctor.finding import Finding
from relay_settings.jobs import JobsSettings
from relay_streams import job_roles


@pytest.fixture(autouse=True)
def _without_a_vendor(monkeypatch: pytest.MonkeyPatch, no_blocking) -> None:
    """Nothing outside this machine is asked; the doctor reads files and opens ports, as a command may."""
    no_blocking.deactivate()
    for name in ("SPATIUS_CONSOLE_ENDPOINT", "SPATIUS_INGRESS_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")


async def found(*names: str) -> list[Finding]:
    """The findings of these names."""
    findings = {finding.what: finding for finding in await examine()}
    return [findings[name] for name in names]


async def test_a_store_that_no_setting_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed URL is a failure with the variable's name as its remedy."""
    monkeypatch.setenv("RELAY_REDIS_URL", "http://127.0.0.1")

    [finding] = await found("Redis")

    assert (finding.state, finding.fix) == ("fail", "correct RELAY_REDIS_URL")


async def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a warning, since the relay itself may run there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("RELAY_CONTROL_HOST", "127.0.0.1")
        monkeypatch.setenv("RELAY_CONTROL_PORT", str(port))

        [finding] = await found(f"port {port}")

    assert finding.state == "warn"
    assert "in use" in finding.found
    assert "RELAY_CONTROL_PORT" in finding.fix


async def test_what_an_operator_should_change_in_redis(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eviction loses conversations; without persistence a restart does."""
    async with open_store() as store:
        monkeypatch.setenv("RELAY_REDIS_URL", store.url)
        before = {
            name: (await store.client.execute("CONFIG", "GET", name))[1]
            for name in ("maxmemory-policy", "appendonly", "save")
        }
        await store.client.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        await store.client.execute("CONFIG", "SET", "appendonly", "no", "save", "")
        try:
            eviction, persistence = await found("Redis maxmemory-policy", "Redis persistence")
        finally:
            for name, value in before.items():
                await store.client.execute("CONFIG", "SET", name, value)

    assert (eviction.state, eviction.found) == ("fail", "allkeys-lru")
    assert (persistence.state, persistence.found) == ("warn", "off")


async def test_jobs_that_are_off(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more is asked, also where Celery could not use the relay's Redis as its broker."""
    monkeypatch.setenv("RELAY_REDIS_URL", "redis+cluster://127.0.0.1:1")

    [finding] = await found("jobs")

    assert (finding.state, finding.found) == ("ok", "off")


async def test_jobs_without_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cluster one must be named; one that does not answer is a failure with its address."""
    monkeypatch.setenv("RELAY_JOBS", "true")
    monkeypatch.setenv("RELAY_REDIS_URL", "redis+cluster://127.0.0.1:1")
    [settings] = await found("settings of jobs")
    assert settings.state == "fail"
    assert "RELAY_JOBS_BROKER_URL is missing" in settings.found

    monkeypatch.setenv("RELAY_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("RELAY_JOBS_BROKER_URL", "redis://127.0.0.1:2")
    monkeypatch.setattr("relay_cli.doctor.finding.TIMEOUT_S", 0.2)
    [broker] = await found("jobs broker")
    assert broker.state == "fail"
    assert "127.0.0.1" in broker.found
    assert "RELAY_JOBS_BROKER_URL" in broker.fix


async def test_jobs_that_nobody_does(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each role without a process that has done its work lately is named with its command."""
    async with open_store() as store:
        monkeypatch.setenv("RELAY_REDIS_URL", store.url)
        monkeypatch.setenv("RELAY_JOBS", "true")
        await job_roles.announce(store.client, store.keys, "beat", "one")

        broker, processes = await found("jobs broker", "jobs processes")
        assert broker.state == "ok"
        assert processes.state == "fail"
        assert processes.found == "none of: dispatcher, worker"
        assert "relay-jobs dispatcher, relay-jobs worker" in processes.fix

        for role in job_roles.ROLES:
            await job_roles.announce(store.client, store.keys, role, "one")
        [processes] = await found("jobs processes")
        assert processes.state == "ok"


async def recordings_of(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Finding:
    """The finding about the place of recordings."""
    values = {
        "RELAY_JOBS": "true",
        "RELAY_REDIS_URL": "redis://127.0.0.1:1",
        "RELAY_JOBS_BROKER_URL": "redis://127.0.0.1:1",
    }
    for name, value in {**values, **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("relay_cli.doctor.finding.TIMEOUT_S", 1.0)
    [finding] = await found("recordings")
    return finding


async def test_a_folder_of_recordings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may be missing, since workers create it, and is not created here; where it cannot be, that fails."""
    folder = tmp_path / "new" / "recordings"
    finding = await recordings_of(monkeypatch, RELAY_RECORDINGS_URL=str(folder))
    assert (finding.state, finding.found) == ("ok", f"{folder} can be written")
    assert not folder.parent.exists()

    (tmp_path / "new").write_text("a file")
    finding = await recordings_of(monkeypatch, RELAY_RECORDINGS_URL=str(folder))
    assert finding.state == "fail"
    assert finding.found == f"{tmp_path / 'new'}: Not a directory"
    assert "RELAY_RECORDINGS_URL" in finding.fix


async def test_a_bucket_of_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object is stored and removed; a bucket that is missing, or a server that is away, is a failure."""
    with object_storage.bucket() as place:
        variables = {JobsSettings.variable(name): value for name, value in place.settings.items()}
        before = place.storage.files()
        finding = await recordings_of(monkeypatch, **variables)
        assert (finding.state, finding.found) == ("ok", f"{place.url} can be written")
        assert place.storage.files() == before

        finding = await recordings_of(monkeypatch, RELAY_RECORDINGS_URL="s3://no-such-bucket/relay")
        assert finding.state == "fail"
        assert "bucket" in finding.found
        assert "RELAY_RECORDINGS_URL" in finding.fix

    finding = await recordings_of(monkeypatch, RELAY_RECORDINGS_S3_ENDPOINT="http://127.0.0.1:1")
    assert finding.state == "fail"
    assert finding.found.startswith("127.0.0.1:1: ")
    assert "RELAY_RECORDINGS_S3_ENDPOINT" in finding.fix


async def about(*services: str) -> dict[str, Finding]:
    """The findings for some services, by name."""
    return {finding.what: finding for finding in await examine(services)}


async def test_a_machine_with_one_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of what runs elsewhere: no settings or ports of other services, and no vendor."""
    monkeypatch.setenv("RELAY_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("RELAY_TOKEN_SECRET", "x" * 32)
    monkeypatch.setenv("SPATIUS_APP_ID", "app")

    found = await about("gateway")

    assert not [what for what in found if "ingest" in what or "control" in what or "vendor" in what]
    assert not {"jobs", "port 8081", "public URL"} & found.keys()
    assert found["settings of gateway"].state == found["app id"].state == "ok"
    assert found["Redis"].state == "fail"
    assert "RELAY_REDIS_URL" in found["Redis"].fix


async def test_no_worker(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversations would wait: it is a finding with its remedy, and none once a worker has reported."""
    async with open_store() as store:
        monkeypatch.setenv("RELAY_REDIS_URL", store.url)
        workers = (await about("gateway"))["ingest workers"]
        assert workers.state == "warn"
        assert "start relay-ingest" in workers.fix

        await store.registry().report_load(active=0, owned=0, keep_ms=60_000)
        assert (await about("gateway"))["ingest workers"].state == "ok"


async def test_no_app_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """At ingest a setting is missing; at a gateway its viewers would miss it."""
    monkeypatch.setenv("RELAY_TOKEN_SECRET", "x" * 32)
    monkeypatch.setenv("SPATIUS_API_KEY", "key")
    monkeypatch.delenv("SPATIUS_APP_ID", raising=False)
    monkeypatch.setenv("RELAY_REDIS_URL", "redis://127.0.0.1:1")

    found = await about("gateway", "ingest")

    assert found["settings of ingest"].state == "fail"
    assert "SPATIUS_APP_ID" in found["settings of ingest"].found
    assert (found["app id"].state, found["app id"].fix) == ("warn", "set SPATIUS_APP_ID at gateways")


async def test_a_gateway_that_viewers_do_not_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control would return its own loopback address to backends; and nobody listens there."""
    monkeypatch.setenv("RELAY_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("RELAY_TOKEN_SECRET", "x" * 32)
    monkeypatch.setenv("RELAY_API_KEYS", f"0123abcd:{'0' * 64}:admin")
    monkeypatch.setenv("RELAY_GATEWAY_URL", "ws://127.0.0.1:1")

    found = await about("control")

    assert found["public URL"].state == "warn"
    assert "RELAY_GATEWAY_URL" in found["public URL"].fix
    assert found["viewer tokens"].state == "warn"
    assert "no gateway answers" in found["viewer tokens"].found

    monkeypatch.setenv("RELAY_GATEWAY_URL", "wss://viewers.invalid")
    monkeypatch.setattr("relay_cli.doctor.finding.TIMEOUT_S", 0.5)
    assert (await about("control"))["public URL"].state == "ok"


@pytest.mark.parametrize(("secret", "state"), [("a" * 32, "ok"), ("b" * 32, "fail")])
async def test_another_secret(open_store, monkeypatch: pytest.MonkeyPatch, secret: str, state: str) -> None:
    """A gateway that refuses the tokens that control signs is found, and the setting is named."""
    async with open_store() as store, open_gateways(store, token_secret="a" * 32) as rig:
        monkeypatch.setenv("RELAY_REDIS_URL", "redis://127.0.0.1:1")
        monkeypatch.setenv("RELAY_TOKEN_SECRET", secret)
        monkeypatch.setenv("RELAY_API_KEYS", f"0123abcd:{'0' * 64}:admin")
        monkeypatch.setenv("RELAY_GATEWAY_URL", rig.url)

        tokens = (await about("control"))["viewer tokens"]

    assert tokens.state == state
    assert ("RELAY_TOKEN_SECRET" in tokens.fix) == (state == "fail")
