"""Checks of this machine: ports, open files, and how Python and the relay were built."""

import resource
import socket
import sys
import sysconfig

from relay_cli.doctor.finding import Finding
from relay_settings.catalogue import SERVICES
from relay_settings.environment import variable
from relay_settings.host import is_ipv6
from relay_telemetry.version import hot_path

_OPEN_FILES = 65_536


def examine() -> list[Finding]:
    """What every process here has."""
    return [_open_files(), _interpreter(), _hot_path()]


def port_free(service: str) -> Finding:
    """Whether the port of a service is free."""
    fields = SERVICES[service].model_fields
    host, port = (
        variable(SERVICES[service].variable(name)) or str(fields[name].default)
        for name in (f"{service}_host", f"{service}_port")
    )
    host = host.strip("[]")
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    try:
        with socket.create_server((host, int(port)), family=family):
            return Finding(f"port {port}", "ok", f"free at {host}")
    except (OSError, ValueError, OverflowError) as error:
        fix = f"set RELAY_{service.upper()}_PORT, unless the relay itself uses the port"
        return Finding(f"port {port}", "warn", str(error), fix)


def _open_files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = soft < _OPEN_FILES
    fix = f"ulimit -n {_OPEN_FILES} for gateways: each viewer is an open file" if few else ""
    return Finding("open files", "warn" if few else "ok", f"{soft} allowed", fix)


def _interpreter() -> Finding:
    """Distributions optimise their Python without a flag in its build; other builds show their flags."""
    flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
    slow = sys.base_prefix != "/usr" and "--enable-optimizations" not in flags
    found = f"{sys.implementation.name} {sys.version.split()[0]}, {'not ' if slow else ''}optimised"
    fix = "a distribution's Python, or one built with --enable-optimizations, takes less CPU" if slow else ""
    return Finding("Python", "warn" if slow else "ok", found, fix)


def _hot_path() -> Finding:
    found = hot_path()
    fix = (
        ""
        if found == "compiled"
        else "install with HATCH_BUILD_HOOKS_ENABLE=1 and --no-binary avatar-relay: less CPU"
    )
    return Finding("hot path", "ok" if found == "compiled" else "warn", found, fix)
