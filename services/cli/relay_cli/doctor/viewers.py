"""Checks of what viewers meet: the URL that control returns, the app id, and the keys of their tokens."""

import secrets
from urllib.parse import urlsplit

import aiohttp

from relay_cli.doctor import finding
from relay_cli.doctor.finding import Finding
from relay_runtime import extra
from relay_settings.base import SettingsError
from relay_settings.control import ControlSettings
from relay_settings.gateway import GatewaySettings

_LOOPBACK = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")


def app_id() -> list[Finding]:
    """Whether gateways have an app id for viewers."""
    try:
        settings = GatewaySettings.load()
    except SettingsError:
        return []  # a finding of its own
    if settings.app_id:
        return [Finding("app id", "ok", "viewers receive it")]
    return [Finding("app id", "warn", "viewers receive none", "set SPATIUS_APP_ID at gateways")]


async def gateway() -> list[Finding]:
    """Whether viewers reach the gateways where control says they are, and with the tokens that it signs."""
    try:
        settings = ControlSettings.load()
    except SettingsError:
        return []  # a finding of its own
    url = settings.gateway_url
    host = urlsplit(url).hostname or ""
    fix = "set RELAY_GATEWAY_URL at control to the URL that viewers use"
    public = (
        Finding("public URL", "warn", f"{url}: only viewers on this machine reach it", fix)
        if host in _LOOPBACK
        else Finding("public URL", "ok", url)
    )
    return [public, await _tokens(settings, url)]


async def _tokens(settings: ControlSettings, url: str) -> Finding:
    """Connect as a viewer of a conversation that does not exist, with a token of control's key."""
    what, conversation = "viewer tokens", f"doctor-{secrets.token_hex(8)}"
    try:
        from relay_auth.viewer_tokens import Role, TokenError, ViewerTokens  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return Finding(
            what, "warn", extra.missing(error, "control"), "run the doctor where control is installed"
        )
    tokens = ViewerTokens(settings)
    try:
        await tokens.open()
        token, _ = await tokens.mint(conversation=conversation, role=Role.LISTEN, ttl_s=60)
    except (SettingsError, TokenError) as error:
        return Finding(what, "fail", str(error), "correct RELAY_TOKEN_SECRET or RELAY_TOKEN_KEYS_DIR")
    stream = f"{url.rstrip('/')}/v1/conversations/{conversation}/stream"
    timeout = aiohttp.ClientTimeout(total=finding.TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.ws_connect(stream, headers={"Authorization": f"Bearer {token}"}),
        ):
            return Finding(what, "ok", "a gateway accepts control's")
    except aiohttp.WSServerHandshakeError as error:
        if error.status != 401:
            return Finding(what, "ok", f"a gateway knows their key (HTTP {error.status})")
        fix = "give control and gateways the same RELAY_TOKEN_SECRET, or RELAY_TOKEN_KEYS_DIR"
        return Finding(what, "fail", f"the gateway at {url} refuses control's", fix)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        found = f"no gateway answers at {url}: {str(error) or type(error).__name__}"
        return Finding(what, "warn", found, "start relay-gateway, or correct RELAY_GATEWAY_URL")
