"""The session log: what the vendor bills for each session."""

from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.simulator import AVATAR, Simulated, simulated


async def logged(s: Simulated) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await s.admin("GET", "sessions"))["sessions"]
    return found


async def test_connected_time() -> None:
    """It counts while the session is open, and no more once it is closed; each begun 6 s are a credit."""
    async with simulated() as s:
        async with s.client():
            [session] = await logged(s)
            assert (session["avatar_id"], session["closed_at"], session["credits"]) == (AVATAR, None, 1)
            await eventually(lambda: logged(s), until=lambda found: found[0]["seconds"] > session["seconds"])
        [closed] = await eventually(lambda: logged(s), until=lambda found: found[0]["closed_at"])

        assert closed["connection_id"] == session["connection_id"]
        assert closed["seconds"] == round(closed["closed_at"] - closed["opened_at"], 3) > 0
        assert await logged(s) == [closed]


async def test_a_handshake_that_fails() -> None:
    """It costs nothing."""
    async with simulated() as s:
        await s.admin("POST", "faults", at="handshake", fault="error_16")
        async with s.client(start=False) as client:
            with pytest.raises(Exception, match="unauthorized"):
                await client.session.start()
        assert await logged(s) == []
