"""A container's health check: what it requests, where, and what it reports."""

import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from tests.rigs.certificates import issue

from relay_runtime import health_check

READY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NOT_READY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 20\r\n\r\nRedis does not serve"


@contextmanager
def serving(
    answer: bytes, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers each connection so; yields its port and the requests that it got."""
    requests: list[bytes] = []
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    with tls.wrap_socket(connection, server_side=True) if tls else connection as peer:
                        requests.append(peer.recv(4096))
                        peer.sendall(answer)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], requests
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``settings(RELAY_ADMIN_PORT=...)`` sets variables of the process."""

    def put(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    return put


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["health_check", *arguments])
    return health_check.main()


@pytest.mark.parametrize(
    ("admin_host", "tried"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("::", ["::1", "127.0.0.1"]),
        ("[::]", ["::1", "127.0.0.1"]),
        ("::1", ["::1"]),
        ("10.1.2.3", ["10.1.2.3"]),
        ("localhost", ["localhost"]),
    ],
)
def test_where_it_connects(admin_host: str, tried: list[str]) -> None:
    """A wildcard is reached over loopback; an address or a name is reached as it is."""
    assert health_check.hosts(admin_host) == tried


def test_a_ready_process(settings, monkeypatch, capsys) -> None:
    """Readiness is requested; 200 is exit status 0, without output."""
    with serving(READY) as (port, requests):
        settings(RELAY_ADMIN_PORT=port, RELAY_ADMIN_HOST="0.0.0.0")
        assert run(monkeypatch) == 0
    assert requests[0].startswith(b"GET /readyz HTTP/1.1\r\n")
    assert capsys.readouterr().out == ""


def test_another_path(settings, monkeypatch) -> None:
    """The first argument is the path."""
    with serving(READY) as (port, requests):
        settings(RELAY_ADMIN_PORT=port)
        assert run(monkeypatch, "/livez") == 0
    assert requests[0].startswith(b"GET /livez HTTP/1.1\r\n")


def test_a_process_that_is_not_ready(settings, monkeypatch, capsys) -> None:
    """Any other answer is exit status 1, and its text is printed."""
    with serving(NOT_READY) as (port, _):
        settings(RELAY_ADMIN_PORT=port)
        assert run(monkeypatch) == 1
    assert capsys.readouterr().out == "/readyz answers 503: Redis does not serve\n"


def test_ipv6_alone(settings, monkeypatch) -> None:
    """A process that listens at IPv6 alone is reached."""
    with serving(READY, host="::1") as (port, _):
        settings(RELAY_ADMIN_PORT=port, RELAY_ADMIN_HOST="::")
        assert run(monkeypatch) == 0


def test_ipv4_behind_the_ipv6_wildcard(settings, monkeypatch) -> None:
    """Without an answer over IPv6, IPv4 is tried: a host may have no IPv6 loopback."""
    with serving(READY) as (port, _):
        settings(RELAY_ADMIN_PORT=port, RELAY_ADMIN_HOST="::")
        assert run(monkeypatch) == 0


def test_an_encrypted_admin_port(settings, monkeypatch, tmp_path: Path) -> None:
    """With RELAY_TLS_ADMIN the request is encrypted, and no certificate is refused."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issue(trustme.CA(), chain, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with serving(READY, tls=context) as (port, requests):
        settings(RELAY_ADMIN_PORT=port, RELAY_TLS_ADMIN="True")
        assert run(monkeypatch) == 0
    assert requests[0].startswith(b"GET /readyz ")


def test_nothing_listens(settings, monkeypatch, capsys) -> None:
    """A refused connection is exit status 1, and each tried address is printed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings(RELAY_ADMIN_PORT=port, RELAY_ADMIN_HOST="::")
    assert run(monkeypatch) == 1
    printed = capsys.readouterr().out
    assert f"::1 port {port}: " in printed
    assert f"127.0.0.1 port {port}: " in printed


@contextmanager
def dripping(*pieces: bytes) -> Iterator[int]:
    """A server that sends these, one after another, then nothing until the peer is gone; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                for piece in pieces:
                    connection.sendall(piece)
                    if select.select([gone], [], [], 0.02)[0]:
                        return
                gone.recv(1)

        gone, end = socket.socketpair()
        with gone, end:
            thread = threading.Thread(target=drip, daemon=True)
            thread.start()
            yield server.getsockname()[1]
            end.close()
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    "pieces", [[], [b"HTTP/1.1 200 OK\r\n"], [b"H"] * 3000], ids=["nothing", "a part", "a byte at a time"]
)
def test_no_whole_answer_in_time(pieces: list[bytes], settings) -> None:
    """The whole check is bounded, also where an answer arrives byte by byte."""
    with dripping(*pieces) as port:
        settings(RELAY_ADMIN_PORT=port)
        with pytest.raises(health_check.Unhealthy, match="timed out"):
            health_check.check(timeout_s=0.2)


def test_a_large_answer(settings, monkeypatch, capsys) -> None:
    """No more than a part of an answer is read and printed."""
    with serving(NOT_READY + b"x" * 1_000_000) as (port, _):
        settings(RELAY_ADMIN_PORT=port)
        assert run(monkeypatch) == 1
    assert len(capsys.readouterr().out) < health_check.LARGEST_BYTES + 100


def test_no_http(settings, monkeypatch, capsys) -> None:
    """An answer that is no HTTP is exit status 1."""
    with serving(b"-ERR unknown command\r\n") as (port, _):
        settings(RELAY_ADMIN_PORT=port)
        assert run(monkeypatch) == 1
    assert "ERR unknown command" in capsys.readouterr().out


@pytest.mark.parametrize("port", ["", "0", "http"])
def test_without_a_port(port: str, settings, monkeypatch, capsys) -> None:
    """A port that is not set, or that is taken at random, cannot be reached: the setting is named."""
    settings(RELAY_ADMIN_PORT=port)
    assert run(monkeypatch) == 1
    assert "RELAY_ADMIN_PORT" in capsys.readouterr().out
