"""The reaper in a whole relay, run by beat and a worker: what nobody uses ends, what is watched stays."""

import signal

from relay_wire import events

SETTINGS = {
    "RELAY_PRESENCE_S": "0.5",
    "RELAY_CONVERSATION_TTL_S": "4",
    "RELAY_REAPER_S": "0.5",
    "RELAY_REAPER_GONE_S": "2",
}


async def test_conversations_that_nobody_uses_end(relay, watching, eventually) -> None:
    """One through its worker, and one without any worker; one that is watched lives for as long as it is."""
    async with relay(settings=SETTINGS, workers=1, jobs=True) as r:
        unused, watched = await r.converse(), await r.converse()
        seen = await r.watch(watched)

        async def state(conversation: str) -> str:
            return (await r.backend.read(conversation)).state

        async with watching(seen):
            await eventually(lambda: state(unused), 40, until=lambda found: found == "ended")
            assert await state(watched) == "open"

            r.stack.workers[0].signal(signal.SIGKILL)
            abandoned = await r.converse()
            await eventually(lambda: state(abandoned), 40, until=lambda found: found == "ended")
            assert await state(watched) == "open"

            await r.stack.add_worker()
            await r.backend.end(watched)
        seen.assert_whole()
        assert seen.events_of()[-1] == events.ConversationEnded("deleted")
        worker = next(child for child in r.stack.jobs if child.name == "worker")
        assert await r.metric([worker], "relay_jobs_reaped_total", kind="closed") == 2
        assert await r.metric([worker], "relay_jobs_reaped_total", kind="ended") == 1
