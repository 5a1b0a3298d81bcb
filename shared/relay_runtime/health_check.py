"""A container's health check, over the admin port: ``python -m relay_runtime.health_check [PATH]``.

Reads the same variables as the process beside which it runs: RELAY_ADMIN_HOST, RELAY_ADMIN_PORT and
RELAY_TLS_ADMIN. Exit status 0 when the path, ``/readyz`` by default, answers 200; else 1, and the reason is
printed. It imports neither pydantic nor aiohttp, since it runs every few seconds beside each process.
"""

import ipaddress
import socket
import ssl
import sys
import time

from relay_settings import environment

PATH = "/readyz"
TIMEOUT_S = 4.0
"""The longest time of a check, connection and answer together."""
LARGEST_BYTES = 4096
"""The longest part of an answer that is read and printed."""
_TRUE = {"1", "on", "t", "true", "y", "yes"}


class Unhealthy(Exception):
    """Raised when the process does not answer 200; the text has the reason."""


def check(path: str = PATH, timeout_s: float = TIMEOUT_S) -> None:
    """Request a path of the admin port.

    Raises:
        Unhealthy: The answer is not 200, there is none within ``timeout_s``, or the port is not set.
    """
    settings = environment.values()
    port = settings.get("RELAY_ADMIN_PORT", "0")
    if not port.isdecimal() or port == "0":
        raise Unhealthy("RELAY_ADMIN_PORT must be set to the admin port")
    encrypted = settings.get("RELAY_TLS_ADMIN", "").lower() in _TRUE
    deadline = time.monotonic() + timeout_s
    reasons = []
    for host in hosts(settings.get("RELAY_ADMIN_HOST", "127.0.0.1")):
        try:
            status, body = _request(host, int(port), path, deadline, encrypted=encrypted)
        except OSError as error:
            reasons.append(f"{host} port {port}: {error}")
            continue
        if status.startswith("200"):
            return
        raise Unhealthy(f"{path} answers {status.partition(' ')[0]}: {body}")
    raise Unhealthy("; ".join(reasons))


def hosts(admin_host: str) -> list[str]:
    """Where a process that listens at this host can be reached from within its container."""
    host = admin_host.removeprefix("[").removesuffix("]")
    try:
        wildcard = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        wildcard = False
    if not wildcard:
        return [host]
    return ["::1", "127.0.0.1"] if ":" in host else ["127.0.0.1"]


def _request(host: str, port: int, path: str, deadline: float, *, encrypted: bool) -> tuple[str, str]:
    """Returns the status and the body; http.client takes longer to import than the whole check lasts."""
    with (
        socket.create_connection((host, port), _left(deadline)) as plain,
        _tls().wrap_socket(plain) if encrypted else plain as connection,
    ):
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = _read(connection, deadline).decode(errors="replace")
    head, _, body = answer.partition("\r\n\r\n")
    protocol, _, status = head.partition("\r\n")[0].partition(" ")
    if not protocol.startswith("HTTP/1."):
        raise Unhealthy(f"{host} port {port} answers no HTTP: {answer.strip()}")
    return status, body


def _read(connection: socket.socket, deadline: float) -> bytes:
    """Everything up to the end of the connection, or ``LARGEST_BYTES`` of it."""
    found = b""
    while len(found) < LARGEST_BYTES:
        connection.settimeout(_left(deadline))  # of one operation, so that it is set before each
        piece = connection.recv(LARGEST_BYTES - len(found))
        if not piece:
            break
        found += piece
    return found


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _tls() -> ssl.SSLContext:
    """Without verification: the certificate has the service's name, and the peer is this container itself."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main() -> int:
    """Check the path that the first argument names; returns the exit status."""
    try:
        check(sys.argv[1] if len(sys.argv) > 1 else PATH)
    except (Unhealthy, environment.SettingsError) as error:
        print(error)  # noqa: T201  # the engine keeps the output with the state of the container
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
