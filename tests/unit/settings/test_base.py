"""Settings: read once, refused with the variable's name, masked."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from relay_settings.base import Settings, SettingsError
from relay_settings.control import ControlSettings
from relay_settings.gateway import GatewaySettings
from relay_settings.ingest import IngestSettings
from relay_settings.simulator import SimulatorSettings
from relay_streams.uplink import UplinkLimits

SECRET = "planted-secret-of-more-than-32-characters"
ALL: list[type[Settings]] = [GatewaySettings, IngestSettings, ControlSettings, SimulatorSettings]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the surroundings counts."""
    import os

    for name in list(os.environ):
        if name.startswith(("RELAY_", "SPATIUS_", "OTEL_")):
            monkeypatch.delenv(name)


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything required is set."""
    monkeypatch.setenv("RELAY_TOKEN_SECRET", SECRET)
    monkeypatch.setenv("RELAY_API_KEYS", f"{SECRET}, second-planted-secret")
    monkeypatch.setenv("SPATIUS_API_KEY", SECRET)
    monkeypatch.setenv("SPATIUS_APP_ID", "app")
    monkeypatch.setenv("RELAY_REDIS_URL", f"redis://:{SECRET}@redis:6379/1")


@pytest.mark.usefixtures("complete")
def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are RELAY_ and the field's name; the vendor's keep the vendor's names."""
    monkeypatch.setenv("RELAY_GATEWAY_PORT", "9999")
    monkeypatch.setenv("SPATIUS_REGION", "cn-beijing")

    settings = GatewaySettings.load()

    assert settings.gateway_port == 9999
    assert settings.region == "cn-beijing"
    assert settings.token_key == SECRET
    assert settings.store_url == f"redis://:{SECRET}@redis:6379/1"


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize("kind", ALL)
def test_secrets_are_masked(kind: type[Settings]) -> None:
    """No repr shows a secret, in whatever settings it stands."""
    assert "planted-secret" not in repr(kind.load())
    assert "planted-secret" not in str(kind.load())


@pytest.mark.usefixtures("complete")
def test_several_api_keys() -> None:
    """Keys rotate: more than one is valid."""
    keys = [key.get_secret_value() for key in ControlSettings.load().api_keys]

    assert keys == [SECRET, "second-planted-secret"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "x"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "0"),
    ],
)
def test_a_number_of_opentelemetry_that_is_none(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Named, instead of a traceback of the library's at the start; nothing is asked where no traces leave."""
    monkeypatch.setenv(variable, value)
    GatewaySettings.load(token_secret="x" * 32)
    with pytest.raises(SettingsError, match=f"^{variable} must be a whole number"):
        GatewaySettings.load(token_secret="x" * 32, otlp_endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("variable", "value", "kind", "message"),
    [
        ("RELAY_TOKEN_SECRET", "short", GatewaySettings, "RELAY_TOKEN_SECRET"),
        ("RELAY_TOKEN_SECRET", None, GatewaySettings, "RELAY_TOKEN_SECRET"),
        ("RELAY_API_KEYS", ",", ControlSettings, "RELAY_API_KEYS"),
        ("RELAY_GATEWAY_PORT", "eighty", GatewaySettings, "RELAY_GATEWAY_PORT"),
        ("RELAY_GATEWAY_PORT", "99999", GatewaySettings, "RELAY_GATEWAY_PORT"),
        ("RELAY_REDIS_URL", "http://planted-secret@host", GatewaySettings, "RELAY_REDIS_URL.*redis://"),
        ("RELAY_LOG_LEVEL", "loud", GatewaySettings, "RELAY_LOG_LEVEL"),
        ("SPATIUS_API_KEY", None, IngestSettings, "SPATIUS_API_KEY"),
        ("SPATIUS_APP_ID", None, IngestSettings, "SPATIUS_APP_ID"),
    ],
)
@pytest.mark.usefixtures("complete")
def test_refusals_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None, kind: type[Settings], message: str
) -> None:
    """What is wrong, and where; never the value, which may be a secret."""
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=message) as refused:
        kind.load()

    assert "planted-secret" not in str(refused.value)


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"RELAY_REDIS_PASSWORD": SECRET}, "RELAY_REDIS_URL has credentials"),
        ({"redis_username": "me"}, "RELAY_REDIS_URL has credentials"),
        ({"redis_ca_file": "ca.crt"}, "RELAY_REDIS_CA_FILE"),
        ({"tls_cert": "tls.crt"}, "RELAY_TLS_KEY"),
        ({"tls_admin": True}, "RELAY_TLS_ADMIN"),
        ({"gateway_max_message_bytes": 9 * 2**20}, "RELAY_UPLINK_VIEWER_SHARE"),
    ],
)
def test_settings_that_need_each_other(values: dict[str, Any], message: str) -> None:
    """Half of TLS is none, and two passwords are one too many."""
    with pytest.raises(SettingsError, match=message) as refused:
        GatewaySettings.load(**values)

    assert "planted-secret" not in str(refused.value)


@pytest.mark.usefixtures("complete")
def test_replicas_answer_before_the_link_gives_up() -> None:
    """A wait for replicas that is longer would look like a dead connection."""
    with pytest.raises(SettingsError, match="RELAY_REDIS_REPLICAS_WAIT_S"):
        ControlSettings.load(redis_replicas=1, redis_replicas_wait_s=3, redis_timeout_s=3)


def test_one_name_has_one_meaning() -> None:
    """What two services both read is one field of one class that both inherit."""
    homes: dict[str, set[type]] = {}
    for kind in ALL:
        for name in kind.model_fields:
            homes.setdefault(kind.variable(name), set()).add(
                next(base for base in kind.__mro__ if name in inspect.get_annotations(base))
            )

    assert {name: classes for name, classes in homes.items() if len(classes) > 1} == {}


@pytest.mark.usefixtures("complete")
def test_the_uplink_has_the_same_bounds_at_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control, gateways and ingest append to the same stream."""
    monkeypatch.setenv("RELAY_UPLINK_BYTES", "1048576")
    monkeypatch.setenv("RELAY_UPLINK_ENTRIES", "256")
    monkeypatch.setenv("RELAY_INPUT_TIMEOUT_S", "10")

    limits = {UplinkLimits.of(kind.load()) for kind in (ControlSettings, GatewaySettings, IngestSettings)}

    assert limits == {UplinkLimits(entries=256, bytes=1048576, silence_ms=9000)}


@pytest.mark.usefixtures("complete")
def test_a_value_for_no_setting_is_a_mistake_of_the_program() -> None:
    """A misspelt argument is not ignored."""
    with pytest.raises(TypeError, match="gateway_prot"):
        GatewaySettings.load(gateway_prot=1)


def test_secrets_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Kubernetes mounts them: a file named like the variable."""
    (tmp_path / "RELAY_TOKEN_SECRET").write_text(SECRET)
    monkeypatch.setenv("RELAY_SECRETS_DIR", str(tmp_path))

    assert GatewaySettings.load().token_key == SECRET


@pytest.mark.usefixtures("complete")
def test_flags_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`relay-gateway --gateway-port 7` wins over the variable."""
    monkeypatch.setenv("RELAY_GATEWAY_PORT", "9999")

    assert GatewaySettings.from_command_line("relay-gateway", ["--gateway-port", "7"]).gateway_port == 7


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """--help names settings with their meaning, and no secret as a flag."""
    with pytest.raises(SystemExit) as left:
        GatewaySettings.from_command_line("relay-gateway", ["--help"])

    shown = capsys.readouterr().out
    assert left.value.code == 0
    assert "--gateway-port" in shown
    assert "Port for viewers" in shown
    assert "token-secret" not in shown.lower()


@pytest.mark.parametrize("kind", ALL)
def test_every_setting_says_what_it_means(kind: type[Settings]) -> None:
    """No setting without a description, no variable twice."""
    rows = kind.variables()

    assert all(meaning for _, _, meaning in rows)
    assert len({name for name, _, _ in rows}) == len(rows)


@pytest.mark.parametrize(
    ("environment", "url", "ratio"),
    [
        ({}, "", 0.05),
        ({"RELAY_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces", 0.05),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://o:4318"}, "http://o:4318/v1/traces", 0.05),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/own"}, "http://t/own", 0.05),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/own", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://o"},
            "http://t/own",
            0.05,
        ),
        (
            {"RELAY_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t"},
            "http://c/v1/traces",
            0.05,
        ),
        ({"RELAY_OTLP_ENDPOINT": " ", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "", 0.05),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://o", "OTEL_SDK_DISABLED": "TRUE"}, "", 0.05),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://o", "OTEL_TRACES_EXPORTER": "none"}, "", 0.05),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, "", None),
        ({"OTEL_TRACES_SAMPLER": "always_on", "RELAY_TRACE_RATIO": "0.05"}, "", 0.05),
        ({"OTEL_TRACES_SAMPLER": "", "RELAY_TRACE_RATIO": "0.5"}, "", 0.5),
    ],
)
def test_where_traces_go(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, ratio: float | None
) -> None:
    """Ours come first, then the standard's; what is empty is not set."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    settings = SimulatorSettings.load()
    assert (settings.traces_url, settings.sampled_ratio) == (url, ratio)
