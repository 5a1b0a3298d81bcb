"""The examination: which checks run for which services, and their table."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from relay_cli.doctor import hosts, jobs, machine, redis, viewers
from relay_cli.doctor.finding import Finding
from relay_settings.base import Settings, SettingsError
from relay_settings.catalogue import SERVICES
from relay_settings.outbox import OutboxSettings
from relay_settings.unused import unused

_RELAY = ("gateway", "ingest", "control")

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


async def examine(services: Sequence[str] = ()) -> list[Finding]:
    """Run the checks that concern some services. Never raises: a check that cannot run is a finding.

    Args:
        services: The services; empty: those of a relay, and jobs where they are on.
    """
    are_on = _jobs_are_on()
    chosen = tuple(services) or (*_RELAY, *(["jobs"] if are_on else []))
    findings = [_settings_of(service, SERVICES[service]) for service in chosen]
    findings += _variables(chosen)
    if set(chosen) - {"simulator"}:
        findings += await redis.examine()
    if "jobs" in chosen:
        findings += await jobs.examine()
    elif not services:
        findings.append(Finding("jobs", "ok", "off"))
    if "ingest" in chosen:
        findings += await hosts.vendor()
    if "gateway" in chosen:
        findings += viewers.app_id()
    if "control" in chosen:
        findings += await viewers.gateway()
    ports = [machine.port_free(service) for service in ("gateway", "control") if service in chosen]
    return [*findings, *ports, *machine.examine()]


def show(findings: list[Finding], console: Console) -> None:
    """Print the findings as a table, one line each."""
    table = Table("checked", "state", "found", "fix")
    for finding in findings:
        style = _STYLES[finding.state]
        table.add_row(
            finding.what, f"[{style}]{finding.state}[/]", "; ".join(finding.found.splitlines()), finding.fix
        )
    console.print(table)


def _settings_of(service: str, kind: type[Settings]) -> Finding:
    name = f"settings of {service}"
    try:
        kind.load()
    except SettingsError as error:
        return Finding(name, "fail", str(error), "set the variables named here, or files of those names")
    return Finding(name, "ok", "complete")


def _variables(services: Sequence[str]) -> list[Finding]:
    """Find variables without an effect. Each is reported once, also when two services read it."""
    try:
        sentences = dict.fromkeys(sentence for service in services for sentence in unused(SERVICES[service]))
    except SettingsError as error:
        return [Finding("variables", "fail", str(error), "correct the file or its permissions")]
    return [
        Finding("variables", "warn", sentence, "correct or remove the variable") for sentence in sentences
    ] or [Finding("variables", "ok", "all have an effect")]


def _jobs_are_on() -> bool:
    try:
        return OutboxSettings.load().jobs
    except SettingsError:
        return False  # a finding of every service's settings
