"""The upgrade: whether a request is a WebSocket handshake (RFC 6455 4.2.1), decided before it is accepted."""

from base64 import b64decode

from aiohttp import HttpVersion11, hdrs, web

from relay_wire import problems
from relay_wire.problems import Problem

_VERSION = "13"
_KEY_BYTES = 16
_DROPPED = "a proxy has removed headers of the WebSocket handshake: it must use HTTP/1.1 and pass on"


def check_upgrade(request: web.Request) -> None:
    """Refuse a request that is not a WebSocket handshake.

    Raises:
        Problem: It is a plain request, or of another version, or has no key.
    """
    headers = request.headers
    if headers.get(hdrs.UPGRADE, "").strip().lower() != "websocket":
        # Only WebSocket clients send the key; proxies remove the other headers, which are hop-by-hop.
        is_proxied = hdrs.SEC_WEBSOCKET_KEY in headers
        detail = f"{_DROPPED} Upgrade and Connection" if is_proxied else "connect with a WebSocket client"
        raise Problem(problems.UPGRADE_REQUIRED, detail)
    if request.method != hdrs.METH_GET or request.version < HttpVersion11:
        raise Problem(problems.BAD_REQUEST, "an upgrade is a GET of HTTP/1.1")
    if not _asks(headers.getall(hdrs.CONNECTION, []), "upgrade"):
        raise Problem(
            problems.BAD_REQUEST,
            f"the header Connection does not ask for the upgrade; if the client sent it, {_DROPPED} it",
        )
    if headers.getall(hdrs.SEC_WEBSOCKET_VERSION, []) != [_VERSION]:
        raise Problem(problems.UPGRADE_REQUIRED, f"the version of WebSocket here is {_VERSION}")
    if not _is_key(headers.getall(hdrs.SEC_WEBSOCKET_KEY, [])):
        raise Problem(problems.BAD_REQUEST, "Sec-WebSocket-Key has to be 16 bytes in base64")


def _asks(lines: list[str], option: str) -> bool:
    return any(part.strip().lower() == option for line in lines for part in line.split(","))


def _is_key(keys: list[str]) -> bool:
    try:
        return [len(b64decode(key, validate=True)) for key in keys] == [_KEY_BYTES]
    except ValueError:
        return False
