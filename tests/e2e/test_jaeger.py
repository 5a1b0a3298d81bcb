"""Traces as a real Jaeger has them: read back through its query API, compared with the turn, and drawn.

``make trace-test`` runs this against the collector of ``OTLP_HTTP_URL`` and the query API of
``JAEGER_QUERY_URL``.
"""

import os
import signal
from pathlib import Path

import aiohttp
import pytest
from tests.e2e import expected_trace, traced_turns
from tests.rigs.jaeger import Jaeger
from tests.rigs.otlp import Span
from tests.rigs.waterfall import draw

if "JAEGER_QUERY_URL" not in os.environ:
    pytest.skip("there is no Jaeger: set OTLP_HTTP_URL and JAEGER_QUERY_URL", allow_module_level=True)

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SETTINGS = {"RELAY_OTLP_ENDPOINT": os.environ.get("OTLP_HTTP_URL", ""), "RELAY_TRACE_RATIO": "1"}


async def read_back(trace_id: str, count: int) -> list[Span]:
    async with aiohttp.ClientSession() as http:
        return await Jaeger(os.environ["JAEGER_QUERY_URL"], http).whole_trace(trace_id, count)


async def test_a_turn(relay, speech, watching) -> None:
    """One trace, from the backend's request to the last write of each of two gateways."""
    async with relay(speed=1.0, settings=SETTINGS) as r:
        turn = await traced_turns.posted(r, watching, speech)

    spans = await read_back(turn.trace_id, 6)
    expected_trace.assert_whole(spans, turn)
    draw(
        IMAGES / "trace-turn.svg", "A turn of 3 s of speech, with a viewer at each of two gateways", spans,
        callers=turn.callers,
    )  # fmt: skip


async def test_a_turn_whose_owner_leaves(relay, speech, watching) -> None:
    """One trace with the spans of both owners: the former was stopped in mid-turn."""
    async with relay(speed=1.0, settings=SETTINGS | traced_turns.CROSSING) as r:
        turn = await traced_turns.crossed(r, watching, speech * 2, signal.SIGTERM)

    spans = await read_back(turn.trace_id, 9)
    expected_trace.assert_handed_over(spans, turn)
    draw(
        IMAGES / "trace-owner-change.svg", "A turn whose owner was stopped while it spoke", spans,
        callers=turn.callers, marks={"owner stopped": turn.crossed_ns},
    )  # fmt: skip


async def test_a_turn_whose_owner_is_killed(relay, speech, watching) -> None:
    """One trace, which the next owner continues; what the killed one had recorded is lost."""
    async with relay(speed=1.0, settings=SETTINGS) as r:
        turn = await traced_turns.crossed(r, watching, speech * 2, signal.SIGKILL)

    spans = await read_back(turn.trace_id, 6)
    expected_trace.assert_killed(spans, turn)
    draw(
        IMAGES / "trace-owner-killed.svg", "A turn whose owner was killed while it spoke", spans,
        callers=turn.callers, marks={"owner killed": turn.crossed_ns},
    )  # fmt: skip
