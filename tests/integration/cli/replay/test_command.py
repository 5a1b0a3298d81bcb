"""Replay: an ordinary viewer of a real gateway receives the frames of the file, byte for byte."""

import asyncio
from pathlib import Path

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.gateway import open_gateways
from tests.rigs.recorded import HEADER, conversation, frame, recording

from relay_cli.replay.command import ReplayError, run_replay
from relay_wire import events
from relay_wire.frame import Kind, decode, position_of
from relay_wire.position import Position

NAME = "replayed"


def ended(*generations: int) -> list[bytes]:
    """A conversation with its end."""
    frames = conversation(*generations)
    last = position_of(frames[-1])
    end = events.encode(events.ConversationEnded("over"))
    at_us = decode(frames[-1]).published_at_us + 100_000
    return [*frames, frame(Position(last.generation, last.seq + 1), 0, Kind.EVENT, end, at_us=at_us)]


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """``replay(rig, data, ...)``: the command, with its settings from the environment."""

    async def run(rig, data: bytes, *, speed: float = 20, wait_s: float = 10, name: str = NAME) -> list[str]:
        path = tmp_path / "a.avrec"
        await asyncio.to_thread(path.write_bytes, data)
        monkeypatch.setenv("RELAY_REDIS_URL", rig.store.url)
        lines: list[str] = []
        await run_replay(path, speed=speed, wait_s=wait_s, conversation=name, show=lines.append)
        return lines

    return run


async def received(rig, start: str = "turn") -> list[bytes]:
    """What a bare WebSocket receives until it is closed, without what gateways make."""
    await eventually(lambda: rig.store.client.execute("EXISTS", rig.store.keys.conversation(NAME).meta))
    socket = await rig.connect(
        f"/v1/conversations/{NAME}/stream?from={start}",
        headers={"Authorization": f"Bearer {rig.token(conversation=NAME)}"},
    )
    frames = [message.data async for message in socket if isinstance(message.data, bytes)]
    return [data for data in frames if position_of(data).seq]


async def test_every_frame_of_every_owner(open_store, replay) -> None:
    """Generations, numbers, times and payloads are those of the recording; then the socket closes."""
    frames = ended(5, 9, 12)
    async with open_store() as store, open_gateways(store) as rig:
        lines, seen = await asyncio.gather(replay(rig, recording(frames)), received(rig))

    assert seen == frames
    assert lines[0] == f"conversation {NAME}: {len(frames)} frames, 3 turns, 2.7 s, 0 gaps"
    assert lines[-1] == f"replayed {len(frames)} frames"


async def test_a_gap_in_the_recording_is_one_for_the_viewer(open_store, replay) -> None:
    """The frames around it are all there."""
    frames = ended(5, 9)
    holed = frames[:12] + frames[14:]
    async with open_store() as store, open_gateways(store) as rig:
        _, seen = await asyncio.gather(replay(rig, recording(holed)), received(rig))

    assert seen[:12] == frames[:12]
    assert seen[-1] == frames[-1]
    assert all(each in holed for each in seen)


async def test_a_viewer_that_comes_later_begins_with_the_turn(open_store, replay) -> None:
    """As in a conversation that is live."""
    frames = ended(5, 9)
    async with open_store() as store, open_gateways(store) as rig:

        async def late() -> list[bytes]:
            key = store.keys.conversation(NAME).meta
            await eventually(lambda: _has_turn(store, key))
            return await received(rig)

        _, seen = await asyncio.gather(replay(rig, recording(frames), speed=2, wait_s=0), late())

    assert decode(seen[0]).turn == 2
    assert seen == frames[len(frames) - len(seen) :]


async def _has_turn(store, key: str) -> bool:
    return await store.client.execute("HGET", key, "turn") == b"2"


async def test_an_existing_conversation_is_refused(open_store, replay) -> None:
    """Nothing of it changes."""
    async with open_store() as store, open_gateways(store) as rig:
        with pytest.raises(ReplayError, match="already: name another with --conversation"):
            await replay(rig, recording(ended(5)), name=rig.keys.id)


async def test_nobody_comes(open_store, replay) -> None:
    """The replay begins all the same, and is named after its conversation."""
    async with open_store() as store, open_gateways(store) as rig:
        lines = await replay(rig, recording(ended(5)), wait_s=0.1, name="")

    assert lines[0].startswith(f"conversation {HEADER.conversation}-replay-")
    assert "no viewer has come: replaying all the same" in lines


async def test_a_damaged_file_creates_nothing(open_store, replay) -> None:
    """It is verified before."""
    async with open_store() as store, open_gateways(store) as rig:
        with pytest.raises(ReplayError, match="cut short"):
            await replay(rig, recording(ended(5))[:-1])
        assert not await store.client.execute("EXISTS", store.keys.conversation(NAME).meta)


async def test_a_redis_that_is_away(open_store, replay) -> None:
    """The error names where it was looked for."""
    async with open_store() as store, open_gateways(store) as rig:
        rig.store.url = "redis://127.0.0.1:9/0"
        with pytest.raises(ReplayError, match=r"Redis at .*127\.0\.0\.1:9"):
            await replay(rig, recording(ended(5)))
