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
    async with open_store() as store, open_gateways(store) as rig:
        await rig.turn(1, frames=2)
        rig.publish(events.ConversationEnded("deleted"))
        await rig.writer.drained()
        await rig.store.client.execute("HSET", rig.keys.meta, "state", "ended")
        await run_tail(
            rig.keys.id, gateway=rig.urls[0], token=rig.token(), control="", start=f"{rig.generation}-1",
            console=console,
        )  # fmt: skip

    shown = screen.getvalue()
    assert "0 gaps, 0 duplicates" in shown
    assert "TurnEnded(outcome='complete')" in shown
    assert "ConversationEnded" in shown


async def test_a_conversation_that_is_not_there(open_store) -> None:
    """The gateway's reason is the error's text."""
    async with open_store() as store, open_gateways(store) as rig:
        with pytest.raises(TailError, match="unknown-conversation"):
            await run_tail(
                "unknown", gateway=rig.urls[0], token=rig.token(conversation="unknown"), control="",
                start="last", console=Console(file=StringIO()),
            )  # fmt: skip
