"""The pacer: what it publishes is what it reports, and what fails is not silent."""

import pytest
from tests.benchmarks.traffic import Pacer, Traffic

TRAFFIC = Traffic.steady(2, 64, 1000).as_json()


async def test_what_is_published_is_reported(eventually) -> None:
    """In turns, from nothing each time."""
    came: list[int] = []
    pacer = Pacer(lambda conversation, _: came.append(conversation))
    for _ in range(2):
        came.clear()
        pacer.begin(TRAFFIC)
        await eventually(lambda: len(came) >= 4)
        report = await pacer.stop()

        assert report["published"] == len(came)
        assert came[:4] == [0, 1, 0, 1]


async def test_what_fails_is_raised_when_it_stops(eventually) -> None:
    """Else a run without frames would look like a server that is too slow."""
    asked: list[int] = []

    def refuse(conversation: int, _: bytes) -> None:
        asked.append(conversation)
        raise ValueError("refused")

    pacer = Pacer(refuse)
    pacer.begin(TRAFFIC)
    await eventually(lambda: asked)

    with pytest.raises(ValueError, match="refused"):
        await pacer.stop()
