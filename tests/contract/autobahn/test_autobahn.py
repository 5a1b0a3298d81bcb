"""The gateway's WebSocket is one, by Autobahn's cases."""

import pytest
from tests.contract.autobahn.cases import DOCUMENT, document, run
from tests.contract.autobahn.echo import echo

from relay_redis.local_server import LocalServer


@pytest.mark.timeout(320)
async def test_no_case_fails() -> None:
    """And the page equals the results."""
    with LocalServer() as server:
        async with echo(server.url) as address:
            results = await run(address)
    assert len(results) > 200
    assert [result for result in results if result.failed] == []
    assert DOCUMENT.read_text() == document(results)
