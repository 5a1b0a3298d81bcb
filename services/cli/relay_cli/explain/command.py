"""``avatar-relay explain``: one turn, read from the Redis of our environment."""

from dataclasses import asdict
from typing import Any

from relay_cli.explain.store import ExplainError, explain
from relay_cli.explain.timeline import Timeline
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_settings.base import SettingsError
from relay_settings.redis_url import RedisUrl
from relay_settings.store import StoreSettings
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA

_TIMEOUT_S = 5.0


async def explain_turn(conversation: str, turn: int | None) -> Timeline:
    """Read a turn and compute its timeline.

    Args:
        conversation: The conversation's id.
        turn: The turn; None: the last one.

    Raises:
        ExplainError: The settings are wrong, Redis cannot be read, or has no such turn.
    """
    try:
        settings = StoreSettings.load()
    except SettingsError as error:
        raise ExplainError(str(error)) from None
    keys = KeySpace.of(settings).conversation(conversation)
    async with RedisClient(settings.store_url, SCHEMA, name="explain", timeout_s=_TIMEOUT_S) as client:
        try:
            return await explain(client, keys, turn)
        except StoreError as error:
            where = RedisUrl.parse(settings.store_url).where
            raise ExplainError(f"Redis at {where}: {error}") from None


def report(found: Timeline) -> dict[str, Any]:
    """A timeline as one JSON object."""
    return {
        **asdict(found),
        "steps": [{**asdict(step), "position": str(step.position)} for step in found.steps],
        "hops": [{**asdict(hop), "is_slow": hop.is_slow} for hop in found.hops],
    }
