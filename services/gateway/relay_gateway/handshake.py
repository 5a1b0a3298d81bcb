"""The handshake: the subprotocol and the token of an upgrade request."""

from typing import NoReturn

from aiohttp import hdrs, web

from relay_auth.viewer_tokens import Grant, TokenError, ViewerTokens
from relay_gateway.refusals import ViewerRefusal
from relay_runtime import upgrade
from relay_runtime.http import bearer
from relay_wire import problems
from relay_wire.problems import Problem

SUBPROTOCOL = "avatar-relay.v1"
TOKEN_PREFIX = "avatar-relay.token."  # noqa: S105  # a prefix, not a token
"""The prefix of a token that a client offers as a subprotocol: browsers cannot set headers."""
_URL_SETTING = "RELAY_AVATARKIT_URL_TOKEN"
_GUESTS_SETTING = "RELAY_AVATARKIT_GUESTS"


def offered_protocols(request: web.Request) -> list[str]:
    """The subprotocols the client offers."""
    lists = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [name.strip() for line in lists for name in line.split(",") if name.strip()]


def check_upgrade(request: web.Request) -> None:
    """Refuse a request that is no WebSocket upgrade to our subprotocol.

    Raises:
        Problem: It is no WebSocket handshake; or it offers subprotocols without ours: a browser would fail
            the connection, too.
    """
    upgrade.check_upgrade(request)
    offered = offered_protocols(request)
    if offered and SUBPROTOCOL not in offered:
        raise Problem(problems.BAD_REQUEST, f"the subprotocol here is {SUBPROTOCOL}")


def is_browser(request: web.Request) -> bool:
    """Whether a request is an acceptable upgrade with its token as a subprotocol, as only browsers send it.

    Their pages cannot read the status of a refusal.
    """
    if hdrs.AUTHORIZATION in request.headers:
        return False
    try:
        check_upgrade(request)
    except Problem:
        return False
    return any(name.startswith(TOKEN_PREFIX) for name in offered_protocols(request))


async def grant_of(request: web.Request, tokens: ViewerTokens, conversation: str) -> Grant:
    """The grant of the client's token for a conversation.

    Raises:
        Problem: There is no token, it is not valid, or it is for another conversation.
    """
    grant = await _verified(tokens, _token(request) or _demand_token())
    if grant.conversation != conversation:
        raise ViewerRefusal(problems.FORBIDDEN, "the token is for another conversation", cause="token")
    return grant


async def avatarkit_grant(
    request: web.Request, tokens: ViewerTokens, *, in_url: bool, guests: bool
) -> Grant | None:
    """The grant of the token of one of the vendor's clients, for any conversation.

    Args:
        request: The upgrade request.
        tokens: Verifies them.
        in_url: Whether the token may be in the URL: these clients are configured with a URL only.
        guests: Whether the token may be missing.

    Returns:
        None for a guest.

    Raises:
        Problem: There is no token, or it is not valid.
    """
    from_url = request.match_info.get("token", "") or request.query.get("token", "")
    token = (from_url if in_url else "") or _token(request)
    if not token and guests and not from_url:
        return None
    return await _verified(tokens, token or _demand_token(_URL_SETTING if from_url else _GUESTS_SETTING))


async def _verified(tokens: ViewerTokens, token: str) -> Grant:
    try:
        return await tokens.verify(token)
    except TokenError as error:
        raise ViewerRefusal(problems.UNAUTHORIZED, str(error), cause="token", setting=error.setting) from None


def _token(request: web.Request) -> str:
    if token := bearer(request):
        return token
    offered = (name for name in offered_protocols(request) if name.startswith(TOKEN_PREFIX))
    return next(offered, "").removeprefix(TOKEN_PREFIX)


def _demand_token(setting: str = "") -> NoReturn:
    raise ViewerRefusal(
        problems.UNAUTHORIZED,
        f"send a viewer token as 'Authorization: Bearer <token>' or as the subprotocol {TOKEN_PREFIX}<token>",
        cause="token",
        setting=setting,
    )
