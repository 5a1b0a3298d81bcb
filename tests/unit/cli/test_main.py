"""The command line's own part: keys, the version, and options that are refused."""

import pytest
from typer.testing import CliRunner

from relay_auth.api_keys import Scope
from relay_cli import __main__ as command_line
from relay_telemetry.version import version


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """``run("keys", "new")`` in this process; its logging stays as it is."""
    monkeypatch.setattr("relay_telemetry.logs.configure", lambda *_, **__: None)
    return lambda *arguments: CliRunner().invoke(command_line.app, arguments)


def test_a_new_key(run) -> None:
    """The backend gets the key and control its digest and scopes, each in a line of its own."""
    done = run("keys", "new", "--scopes", "create, tokens")

    key, entry = done.stdout.splitlines()
    assert done.exit_code == 0
    assert key.startswith("key, for the backend: ")
    assert entry.startswith("entry, for RELAY_API_KEYS: ")
    assert entry.endswith(":create+tokens") or ":create" in entry
    assert key.rsplit(maxsplit=1)[1] not in entry


def test_a_scope_that_does_not_exist(run) -> None:
    """The refusal lists those that do."""
    done = run("keys", "new", "--scopes", "everything")

    assert done.exit_code == 1
    assert all(scope in done.stderr for scope in Scope)


def test_the_version(run) -> None:
    assert run("version").stdout == f"{version()}\n"


def test_the_help_of_serve(run) -> None:
    """It lists the services, whose own help is behind their names; what is none is refused with the list."""
    shown, refused = run("serve", "--help"), run("serve", "everything")

    assert shown.exit_code == 0
    assert "gateway|ingest|control|jobs|simulator" in " ".join(shown.stdout.split())
    assert refused.exit_code == 2
    assert "gateway, ingest" in refused.stderr
