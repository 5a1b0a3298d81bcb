"""Tail: a table on a terminal, and how a conversation that cannot be watched is reported."""

from io import StringIO

import pytest
from rich.console import Console
from tests.rigs.gateway import open_gateways

from relay_cli.tail import TailError, run_tail
from relay_wire import events


async def test_a_table_on_a_terminal(open_store, no_blocking) -> None:
    """It has a row for each frame, and its title counts them, until the conversation ends."""
    no_blocking.deactivate()  # the table is drawn by a thread that shares a lock with the loop
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=200, height=60)
    async with open_store() as store, open_gateways(store) as b:
        await b.turn(1, frames=2)
        b.publish(events.ConversationEnded("deleted"))
        await b.writer.drained()
        await b.store.client.execute("HSET", b.keys.meta, "state", "ended")
        await run_tail(
            b.keys.id, gateway=b.urls[0], token=b.token(), control="", start=f"{b.generation}-1",
            console=console,
        )  # fmt: skip

    shown = screen.getvalue()
    assert "0 gaps, 0 duplicates" in shown
    assert "TurnEnded(outcome='complete')" in shown
    assert "ConversationEnded" in shown


async def test_a_conversation_that_is_not_there(open_store) -> None:
    """The gateway's reason is the error's text."""
    async with open_store() as store, open_gateways(store) as b:
        with pytest.raises(TailError, match="unknown-conversation"):
            await run_tail(
                "unknown", gateway=b.urls[0], token=b.token(conversation="unknown"), control="", start="last",
                console=Console(file=StringIO()),
            )  # fmt: skip
