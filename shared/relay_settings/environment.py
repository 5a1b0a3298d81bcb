"""The environment: reads variables and the files of secrets.

White space around a value is removed, and an empty value counts as unset: so a blank line in a compose file,
an empty value in a chart and a newline after a secret have no effect. A variable overrides a file.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

PREFIX = "RELAY_"
SECRETS_DIR = "RELAY_SECRETS_DIR"
TEXT = "utf-8-sig"
"""The encoding of files of secrets; the byte order mark of some editors is not part of a secret."""
LIKENESS = 0.8
"""The least similarity of a misspelt name to the suggested one, as ``difflib`` computes it."""
_FILE_PREFIXES = (PREFIX, "SPATIUS_")

_SERVICE_LINK_NAME = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")


class SettingsError(Exception):
    """Raised when a setting is missing or wrong. The text names the variable and the values it accepts."""


def values() -> dict[str, str]:
    """Every value that is set, by the name of its variable in upper case.

    Raises:
        SettingsError: A file of secrets cannot be read.
    """
    found = {path.name.upper(): text for path in _files() if (text := _read(path))}
    for name, value in os.environ.items():
        text = value.strip()
        if text and not is_service_link(name.upper(), text):
            found[name.upper()] = text
    return found


def service_links() -> list[str]:
    """Names of variables that Kubernetes has set for its Services, by their form."""
    return [
        name.upper() for name, value in os.environ.items() if is_service_link(name.upper(), value.strip())
    ]


def is_service_link(name: str, value: str) -> bool:
    """Whether a variable is one that Kubernetes sets in every pod for each Service of the name space.

    A Service called relay-gateway makes RELAY_GATEWAY_PORT=tcp://10.0.0.1:8080, which is no port.
    """
    if _SERVICE_LINK_NAME.fullmatch(name):
        return True
    return name.endswith("_PORT") and _SERVICE_LINK_VALUE.match(value) is not None


def missing_secrets_dir() -> str:
    """The value of ``RELAY_SECRETS_DIR`` when it is no folder, else nothing."""
    directory = os.environ.get(SECRETS_DIR, "").strip()
    return directory if directory and not Path(directory).is_dir() else ""


def secret_file(name: str) -> Path | None:
    """The path of a secret's file; None when there is none, or a variable overrides it."""
    if os.environ.get(name, "").strip():
        return None
    return next((path for path in _files() if path.name.upper() == name), None)


def variable(name: str) -> str | None:
    """Read one value, as settings do.

    Raises:
        SettingsError: A file of secrets cannot be read.
    """
    return values().get(name)


def child_environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process: that of this process, with these overrides."""
    return {**os.environ, **overrides}


def _files() -> list[Path]:
    directory = os.environ.get(SECRETS_DIR, "").strip()
    if not directory or not Path(directory).is_dir():
        return []
    try:
        return [path for path in Path(directory).iterdir() if path.name.upper().startswith(_FILE_PREFIXES)]
    except OSError as error:
        raise SettingsError(f"{SECRETS_DIR}: the folder cannot be read: {error.strerror}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(TEXT).strip() if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{path.name}: the file in {SECRETS_DIR} cannot be read: {why}") from None


def past_proxies(host: str) -> None:
    """Let this process reach a host directly, whatever proxies the environment names."""
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [name for name in excepted.split(",") if name]
    if host and host not in hosts:
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*hosts, host])
