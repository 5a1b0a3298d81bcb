"""The environment as settings read it: blank values, white space, secrets in files, names of others."""

import re
from pathlib import Path

import pytest
from tests.rigs.imports import ROOT

from relay_settings import environment
from relay_settings.base import Settings, SettingsError, reveal
from relay_settings.catalogue import SERVICES
from relay_settings.control import ControlSettings
from relay_settings.gateway import GatewaySettings
from relay_settings.ingest import IngestSettings
from relay_settings.unused import unused

NEEDED = {
    "RELAY_TOKEN_SECRET": "planted-secret-" + "k" * 32,
    "RELAY_API_KEYS": "planted-secret-entry",
    "SPATIUS_API_KEY": "planted-secret-vendor",
    "SPATIUS_APP_ID": "app",
}
EVERY = sorted(
    {(kind.variable(name), service) for service, kind in SERVICES.items() for name in kind.model_fields}
)
SECRETS = sorted({kind.variable(name) for kind in SERVICES.values() for name in kind.secrets()})
BLANK = ["", " ", "\n", "\t \r\n"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the surroundings counts."""
    import os

    for name in list(os.environ):
        if name.startswith(("RELAY_", "SPATIUS_", "OTEL_")):
            monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("blank", BLANK, ids=repr)
@pytest.mark.parametrize(("variable", "service"), EVERY)
def test_what_is_empty_is_not_set(
    monkeypatch: pytest.MonkeyPatch, variable: str, service: str, blank: str
) -> None:
    """Every setting of every service: the default counts, or the variable is named as missing."""
    kind = SERVICES[service]
    monkeypatch.delenv(variable, raising=False)
    expected = _outcome(kind)
    monkeypatch.setenv(variable, blank)

    assert _outcome(kind) == expected
    if isinstance(expected, str):
        assert variable in expected
        assert "missing" in expected or f"set {variable}" in expected


@pytest.mark.parametrize(("variable", "service"), EVERY)
def test_an_empty_file_is_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, service: str
) -> None:
    """As for variables."""
    kind = SERVICES[service]
    monkeypatch.delenv(variable, raising=False)
    expected = _outcome(kind)
    (tmp_path / variable).write_text("\n")
    monkeypatch.setenv("RELAY_SECRETS_DIR", f" {tmp_path}\n")

    assert _outcome(kind) == expected


def _outcome(kind: type[Settings]) -> Settings | str:
    try:
        return kind.load()
    except SettingsError as error:
        return str(error)


@pytest.mark.parametrize("place", ["variable", "file"])
@pytest.mark.parametrize(
    ("before", "behind"), [("", "\n"), (" ", ""), ("\t", "\r\n"), ("", " \n\n"), ("\ufeff", "\r\n")]
)
def test_white_space_around_a_secret_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str, behind: str, place: str
) -> None:
    """A Secret made with echo has a newline; both sides sign and check with the same key all the same."""
    values = {
        "RELAY_TOKEN_SECRET": NEEDED["RELAY_TOKEN_SECRET"],
        "SPATIUS_API_KEY": "planted-secret-vendor",
        "RELAY_REDIS_PASSWORD": "planted-secret-redis",
        "RELAY_REDIS_USERNAME": "me",
        "SPATIUS_APP_ID": "app",
        "RELAY_API_KEYS": "planted-secret-entry",
    }
    for name, value in values.items():
        monkeypatch.delenv(name, raising=False)
        if place == "variable":
            monkeypatch.setenv(name, f"{before}{value}{behind}".removeprefix("\ufeff"))  # only files have it
        else:
            (tmp_path / name).write_text(f"{before}{value}{behind}", "utf-8")
    monkeypatch.setenv("RELAY_SECRETS_DIR", str(tmp_path))

    gateway, control, ingest = GatewaySettings.load(), ControlSettings.load(), IngestSettings.load()
    assert gateway.token_key == control.token_key == values["RELAY_TOKEN_SECRET"]
    assert ingest.vendor_key == control.vendor_key == values["SPATIUS_API_KEY"]
    assert (gateway.redis_username, reveal(gateway.redis_password)) == ("me", "planted-secret-redis")
    assert [key.get_secret_value() for key in control.api_keys] == [values["RELAY_API_KEYS"]]
    assert ingest.app_id == "app"


def test_a_variable_comes_before_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unless it is empty: then it is not set."""
    (tmp_path / "SPATIUS_API_KEY").write_text("planted-secret-file")
    monkeypatch.setenv("RELAY_SECRETS_DIR", str(tmp_path))
    assert IngestSettings.load().vendor_key == "planted-secret-vendor"
    monkeypatch.setenv("SPATIUS_API_KEY", " ")
    assert IngestSettings.load().vendor_key == "planted-secret-file"


def test_a_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Is named, without what is in it."""
    (tmp_path / "RELAY_TOKEN_SECRET").write_bytes(b"planted-secret-\xff")
    monkeypatch.setenv("RELAY_SECRETS_DIR", str(tmp_path))
    with pytest.raises(SettingsError, match="RELAY_TOKEN_SECRET: the file in RELAY_SECRETS_DIR") as refused:
        GatewaySettings.load()
    assert "planted" not in str(refused.value)


def test_what_others_call_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names without our prefix, or the vendor's, are not ours."""
    for name in ("REGION", "APP_ID", "AVATAR_ID", "region", "API_KEYS", "REDIS_URL", "CONSOLE_ENDPOINT"):
        monkeypatch.setenv(name, "somebody's")
    settings = ControlSettings.load()
    assert (settings.region, settings.app_id, settings.avatar_id) == ("us-west", NEEDED["SPATIUS_APP_ID"], "")


LINKS = {
    "RELAY_GATEWAY_PORT": "tcp://10.96.1.2:8080",
    "RELAY_GATEWAY_SERVICE_HOST": "10.96.1.2",
    "RELAY_GATEWAY_SERVICE_PORT": "8080",
    "RELAY_GATEWAY_SERVICE_PORT_HTTP": "8080",
    "RELAY_GATEWAY_PORT_8080_TCP": "tcp://10.96.1.2:8080",
    "RELAY_GATEWAY_PORT_8080_TCP_PROTO": "tcp",
    "RELAY_GATEWAY_PORT_8080_TCP_PORT": "8080",
    "RELAY_GATEWAY_PORT_8080_TCP_ADDR": "10.96.1.2",
    "RELAY_REDIS_PORT": "udp://10.96.1.3:6379",
    "RELAY_REDIS_PORT_6379_UDP_ADDR": "10.96.1.3",
    "RELAY_ADMIN_PORT": "tcp://[fd00::1]:9090",
    "RELAY_CONTROL_PORT": "tcp://10.96.1.4:8081",
    "RELAY_SIMULATOR_PORT": "sctp://10.96.1.5:8090",
}


@pytest.mark.parametrize("service", SERVICES)
def test_kubernetes_service_links_are_passed_over(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """A Service that is named like the program changes nothing; one sentence has the reason and the fix."""
    kind = SERVICES[service]
    expected = kind.load()
    for name, value in LINKS.items():
        monkeypatch.setenv(name, value)

    assert kind.load() == expected
    [sentence] = unused(kind)
    assert "enableServiceLinks: false" in sentence
    own = LINKS.keys() & {kind.variable(name) for name in kind.model_fields}
    assert {name for name in LINKS if f"{name}," in sentence or f"{name}:" in sentence} == own


def test_a_port_that_is_no_link_is_still_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what Kubernetes writes is ignored."""
    monkeypatch.setenv("RELAY_GATEWAY_PORT", "http://10.0.0.1:8080")
    with pytest.raises(SettingsError, match="RELAY_GATEWAY_PORT must be a whole number"):
        GatewaySettings.load()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("RELAY_ORIGIN", "RELAY_ORIGINS"),
        ("RELAY_TRUSTED_PROXY", "RELAY_TRUSTED_PROXIES"),
        ("relay_log_levl", "RELAY_LOG_LEVEL"),
        ("RELAY_MAX_VIEWER", "RELAY_MAX_VIEWERS"),
        ("RELAY_SOMETHING_OF_OUR_OWN", ""),
    ],
)
@pytest.mark.parametrize("place", ["variable", "file"])
def test_misspelt_names_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, near: str, place: str
) -> None:
    """One sentence each, with the name that was meant; nothing is refused."""
    if place == "variable":
        monkeypatch.setenv(name, "planted-secret-x")
    else:
        (tmp_path / name).write_text("planted-secret-x")
        monkeypatch.setenv("RELAY_SECRETS_DIR", str(tmp_path))

    GatewaySettings.load()
    [sentence] = unused(GatewaySettings)
    assert sentence == f"{name.upper()} is not a setting" + (f": did you mean {near}?" if near else "")


def test_settings_of_other_services_are_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """One environment for all processes is usual."""
    for kind in SERVICES.values():
        for name in kind.model_fields:
            monkeypatch.setenv(kind.variable(name), "x")
    for name in (
        "RELAY_API_KEY",
        "RELAY_VIEWER_TOKEN",
        "SPATIUS_SOMETHING",
        "RELAYS",
        "RELAY_WEBHOOK_SECRET_A",
    ):
        monkeypatch.setenv(name, "x")
    for kind in SERVICES.values():
        assert unused(kind) == []


def test_variables_that_commands_read_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable that a command of avatar-relay reads by its name."""
    texts = [path.read_text("utf-8") for path in sorted((ROOT / "services" / "cli").rglob("*.py"))]
    names = {name for text in texts for name in re.findall(r'variable\("(RELAY_\w+)"\)', text)}
    assert {"RELAY_API_KEY", "RELAY_CONTROL_URL"} <= names
    for name in names:
        monkeypatch.setenv(name, "x")
    assert unused(GatewaySettings) == []


def test_a_secrets_dir_that_is_none_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whether it is missing or is a file."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing", tmp_path / "file"):
        monkeypatch.setenv("RELAY_SECRETS_DIR", str(path))
        GatewaySettings.load()
        [sentence] = unused(GatewaySettings)
        assert "RELAY_SECRETS_DIR" in sentence
        assert str(path) in sentence


FLAGS = [
    *(f"--{name}" for name in SECRETS),
    *(f"--{name.lower().replace('_', '-')}" for name in SECRETS),
    *(f"--{name.lower().replace('_', '-').split('-', 1)[1]}" for name in SECRETS),
    "--api-key", "--redis-pass", "--token-sec", "--RELAY-REDIS-PASSWORD", "--password", "--secret",
]  # fmt: skip


@pytest.mark.parametrize("form", ["{} {}", "{}={}"])
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("service", SERVICES)
def test_secrets_are_never_flags(service: str, flag: str, form: str) -> None:
    """However they are written, at whichever service; the sentence names the variable, not the value."""
    arguments = form.format(flag, "planted-secret-in-a-flag").split(" ")
    with pytest.raises(SettingsError) as refused:
        SERVICES[service].from_command_line(f"relay-{service}", arguments)
    sentence = str(refused.value)
    assert "RELAY_SECRETS_DIR" in sentence
    assert any(f"set {name}," in sentence for name in SECRETS)
    assert "planted" not in sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ["redis://:planted-secret@host"],
        ["-pplanted-secret"],
        ["--planted-secret"],
        ["--gateway-port", "planted-secret"],
        ["--gateway-port=planted-secret"],
        ["--avatarkit-clients=planted-secret"],
        ["--no-avatarkit-clients=planted-secret"],
        ["--gateway-prot=planted-secret"],
        ["--gateway-host", "x", "planted-secret"],
        ["-hplanted-secret"],
        ["--", "planted-secret"],
    ],
)
def test_no_value_of_a_flag_is_repeated(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """A mistaken argument may be a secret."""
    with pytest.raises((SettingsError, SystemExit)) as refused:
        GatewaySettings.from_command_line("relay-gateway", arguments)
    shown = capsys.readouterr()
    assert "planted" not in str(refused.value) + shown.out + shown.err


def test_flags_are_not_abbreviated() -> None:
    """`--gateway` could be two flags tomorrow; the near one is named."""
    with pytest.raises(SettingsError, match=r"--gateway-prt is not a flag: did you mean --gateway-port\?"):
        GatewaySettings.from_command_line("relay-gateway", ["--gateway-prt", "1"])
    with pytest.raises(SettingsError, match="not a flag"):
        GatewaySettings.from_command_line("relay-gateway", ["--gateway-por", "1"])


def test_flags() -> None:
    """Values with or without =, switches both ways, lists; a blank value is none."""
    settings = GatewaySettings.from_command_line(
        "relay-gateway",
        [
            "--origins=https://a.example, https://b.example",
            "--no-avatarkit-clients",
            "--slow-client-s",
            "1.5",
            "--log-level",
            " ",
        ],
    )
    assert settings.origins == ("https://a.example", "https://b.example")
    assert (settings.avatarkit_clients, settings.slow_client_s, settings.log_level) == (False, 1.5, "info")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("RELAY_GATEWAY_PORT", "eighty", "RELAY_GATEWAY_PORT must be a whole number"),
        ("RELAY_GATEWAY_PORT", "80.5", "RELAY_GATEWAY_PORT must be a whole number"),
        ("RELAY_GATEWAY_PORT", "65536", "RELAY_GATEWAY_PORT must be 65535 or less"),
        ("RELAY_GATEWAY_PORT", "9" * 5000, "RELAY_GATEWAY_PORT must be a"),
        ("RELAY_MAX_VIEWERS", "0", "RELAY_MAX_VIEWERS must be 1 or more"),
        ("RELAY_HEADER_S", "0", "RELAY_HEADER_S must be greater than 0"),
        ("RELAY_HEADER_S", "inf", "RELAY_HEADER_S must be a number"),
        ("RELAY_HEADER_S", "nan", "RELAY_HEADER_S must be a number"),
        ("RELAY_AVATARKIT_CLIENTS", "maybe", "RELAY_AVATARKIT_CLIENTS must be true or false"),
        ("RELAY_LOG_LEVEL", "loud", "RELAY_LOG_LEVEL must be one of 'debug', 'info', 'warning' or 'error'"),
        ("RELAY_TOKEN_SECRET", "short", "RELAY_TOKEN_SECRET must have 32 characters or more"),
        ("RELAY_KEY_PREFIX", "a{b}", "RELAY_KEY_PREFIX must match"),
        ("RELAY_UPLINK_BYTES", "9" * 400, "RELAY_UPLINK_BYTES is refused: it must be a smaller number"),
        ("RELAY_MAX_VIEWERS", "9" * 19, "RELAY_MAX_VIEWERS is refused: it must be a smaller number"),
        ("RELAY_ORIGINS", "https://a\udcff", "RELAY_ORIGINS has text that is not UTF-8"),
        ("RELAY_GATEWAY_PORT", "80\udced\udca0\udc80", "RELAY_GATEWAY_PORT has text that is not UTF-8"),
    ],
)
def test_refusals_speak_of_settings(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """Not of what a library calls its types."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        GatewaySettings.load()
    assert str(refused.value).startswith(message)
    assert "Input" not in str(refused.value)


def test_every_refusal_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each."""
    monkeypatch.setenv("RELAY_GATEWAY_PORT", "x")
    monkeypatch.setenv("RELAY_AVATARKIT_CLIENTS", "x")
    with pytest.raises(SettingsError) as refused:
        GatewaySettings.load()
    assert len(str(refused.value).splitlines()) == 2


def test_one_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands read as services do."""
    monkeypatch.setenv("RELAY_API_KEY", " planted-secret\n")
    assert environment.variable("RELAY_API_KEY") == "planted-secret"
    monkeypatch.setenv("RELAY_API_KEY", "")
    assert environment.variable("RELAY_API_KEY") is None
    monkeypatch.setenv("RELAY_SECRETS_DIR", str(tmp_path))
    (tmp_path / "RELAY_API_KEY").write_text("planted-secret-2\n")
    assert environment.variable("RELAY_API_KEY") == "planted-secret-2"
