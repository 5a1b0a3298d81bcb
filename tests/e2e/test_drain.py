"""A gateway that stops: its viewers connect elsewhere and miss nothing, then it ends."""

import signal


async def test_a_gateway_drains(relay, speech, watching, eventually) -> None:
    """SIGTERM in mid-turn: status 0, no reconnect but the advised one, every frame once."""
    async with relay(workers=1, speed=2.0, settings={"RELAY_DRAIN_S": "3"}) as r:
        conversation = await r.converse(avatar_id="moving")
        seen = [await r.watch(conversation) for _ in range(20)]
        async with watching(*seen):
            await r.backend.post_turn(conversation, speech)
            await eventually(lambda: all(one.frames for one in seen))
            leaving = r.stack.gateways[0]
            leaving.signal(signal.SIGTERM)
            assert await leaving.wait(timeout_s=10) == 0
            await eventually(lambda: all(1 in one.outcomes for one in seen))
            await r.backend.end(conversation)

        for one in seen:
            one.assert_whole()
            assert one.audio() == speech
            assert one.viewer.url == r.stack.gateways[1].url
            assert (one.viewer.report.resumes, one.viewer.report.advised) == (1, 1)


async def test_a_second_signal_ends_it_at_once(relay, watching, eventually) -> None:
    """However long its drain would be; its viewers resume elsewhere."""
    async with relay(workers=1, settings={"RELAY_DRAIN_S": "3600"}) as r:
        conversation = await r.converse()
        seen = await r.watch(conversation)
        async with watching(seen):
            leaving = r.stack.gateways[0]
            leaving.signal(signal.SIGTERM)
            await eventually(lambda: seen.viewer._leave_at is not None)
            leaving.signal(signal.SIGTERM)
            assert await leaving.wait(timeout_s=10) == 1
            # It has received no frame, from which it could resume once the conversation has ended.
            await eventually(lambda: seen.viewer.report.resumes)
            await r.backend.end(conversation)

        seen.assert_whole()
        assert seen.viewer.report.resumes == 1
