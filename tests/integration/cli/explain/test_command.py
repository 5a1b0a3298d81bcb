"""The command: Redis is the one that the environment names, and every failure is a sentence."""

import json

import pytest
from tests.rigs.gateway import open_gateways

from relay_cli.explain.command import explain_turn, report
from relay_cli.explain.store import ExplainError


async def test_a_turn(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its report is JSON, with positions as text."""
    async with open_store() as store, open_gateways(store) as rig:
        monkeypatch.setenv("RELAY_REDIS_URL", store.url)
        await rig.turn(1, frames=2)
        found = json.loads(json.dumps(report(await explain_turn(rig.keys.id, None))))

    assert (found["turn"], found["frames"]) == (1, 4)
    assert found["steps"][0]["position"] == found["first_position"]
    assert found["hops"][0]["is_slow"] is False


@pytest.mark.parametrize(
    ("url", "reason"), [("redis://127.0.0.1:1/0", "Redis at 127.0.0.1"), ("http://x", "RELAY_REDIS_URL")]
)
async def test_a_redis_that_cannot_be_read(url: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the server, or the setting."""
    monkeypatch.setattr("relay_cli.explain.command._TIMEOUT_S", 0.5)
    monkeypatch.setenv("RELAY_REDIS_URL", url)
    with pytest.raises(ExplainError, match=reason):
        await explain_turn("c", 1)
