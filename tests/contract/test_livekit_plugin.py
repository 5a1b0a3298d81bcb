"""The vendor's plug-in for LiveKit Agents, unmodified, in a room of a real LiveKit server with the simulator.

``make livekit-test`` installs what this needs, and runs it against the server of ``LIVEKIT_URL``,
``LIVEKIT_API_KEY`` and ``LIVEKIT_API_SECRET``.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from spatius import AvatarSDKError, LiveKitEgressConfig, configure_telemetry, new_avatar_session

from relay_cli.stack import Child

if "LIVEKIT_URL" not in os.environ:
    pytest.skip("there is no LiveKit server: set LIVEKIT_URL", allow_module_level=True)
plugin = pytest.importorskip("livekit.plugins.spatius", reason="livekit-plugins-spatius is not installed")

from livekit import api, rtc  # noqa: E402
from livekit.agents import Agent, AgentSession  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of packages that are not ours

RATE = 24_000
FORMATS = ("ogg_opus", "pcm_s16le")
AVATAR = "spatius-avatar-agent"
_rooms = itertools.count(1)


@pytest.fixture
async def simulator(tmp_path) -> AsyncIterator[Child]:
    """A process of its own, at the vendor's speed."""
    child = Child("simulator", "simulator", {"RELAY_SIMULATOR_PORT": "0"}, tmp_path)
    await child.start()
    yield child
    await child.stop()


@pytest.fixture
def endpoints(simulator) -> dict[str, str]:
    return {
        "console_endpoint_url": simulator.addresses["console"],
        "ingress_endpoint_url": simulator.addresses["ingress"],
    }


@pytest.fixture
def room_name() -> str:
    return f"relay-{os.getpid()}-{next(_rooms)}"


def token(identity: str, room: str, secret: str = "", **grants: Any) -> str:
    """To join with."""
    key, known = os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"]
    joins = api.VideoGrants(room_join=True, room=room, **grants)
    return api.AccessToken(key, secret or known).with_identity(identity).with_grants(joins).to_jwt()


@dataclass
class Talk:
    """An agent with an avatar in a room."""

    room: rtc.Room
    session: AgentSession
    avatar: Any
    finished: list[Any] = field(default_factory=list)
    """The playback events of its audio output."""

    def say(self, duration_ms: int) -> Any:
        return self.session.say("speech", audio=speech(duration_ms))


async def speech(duration_ms: int) -> AsyncIterator[rtc.AudioFrame]:
    """A tone, as fast as it is taken."""
    samples = RATE // 50
    tone = b"".join((12_000 * (-1) ** (at // 24)).to_bytes(2, "little", signed=True) for at in range(samples))
    for _ in range(duration_ms // 20):
        yield rtc.AudioFrame(tone, RATE, 1, samples)


@pytest.fixture
def talk(endpoints, room_name):
    """``async with talk() as t``: everything as the plug-in's own example has it."""

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[Talk]:
        configure_telemetry("")
        room, session = rtc.Room(), AgentSession()
        await room.connect(os.environ["LIVEKIT_URL"], token("agent", room_name))
        avatar = plugin.AvatarSession(
            api_key="key", app_id="app", avatar_id="ava", sample_rate=RATE, **endpoints, **options
        )
        try:
            await avatar.start(session, room)
            t = Talk(room, session, avatar)
            await session.start(Agent(instructions=""), room=room)
            await avatar.wait_for_join(timeout=10)
            session.output.audio.on("playback_finished", t.finished.append)
            yield t
        finally:
            await session.aclose()
            await avatar.aclose()
            await room.disconnect()

    return opened


async def admin(simulator: Child, method: str, path: str, **body: Any) -> Any:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{simulator.url}/admin/{path}", json=body or None) as response,
    ):
        assert response.status < 300, await response.text()
        return await response.json() if response.content_type == "application/json" else None


@pytest.mark.parametrize("audio_format", FORMATS)
async def test_turns_and_an_interrupt(simulator, talk, audio_format) -> None:
    """Turns end when they have been played; an interrupt ends one where it is, by the avatar's own word."""
    async with talk(audio_format=audio_format) as t:
        whole = t.say(2000)
        await whole.wait_for_playout()
        cut = t.say(30_000)
        async with asyncio.timeout(20):
            while not [
                r for r in (await admin(simulator, "GET", "requests"))["requests"] if r["playback_ms"] > 2500
            ]:
                await asyncio.sleep(0.02)
        cut.interrupt()
        await cut.wait_for_playout()
        again = t.say(1000)
        await again.wait_for_playout()
        requests = (await admin(simulator, "GET", "requests"))["requests"]

    assert [handle.interrupted for handle in (whole, cut, again)] == [False, True, False]
    assert [(playout.interrupted, playout.playback_position) for playout in t.finished] == [
        (request["interrupted"], request["playback_ms"] / 1000) for request in requests
    ]
    assert [request["playback_ms"] for request in requests][::2] == [2000, 1000]
    assert 2.5 < t.finished[1].playback_position < 30


@pytest.mark.parametrize("audio_format", FORMATS)
async def test_the_participant(simulator, talk, room_name, audio_format) -> None:
    """An agent with the token's attribute, a black VP8 video track and an audio track; PCM is audible."""
    viewer, tracks = rtc.Room(), asyncio.Queue()
    viewer.on(
        "track_subscribed", lambda track, publication, who: tracks.put_nowait((track, publication, who))
    )
    await viewer.connect(os.environ["LIVEKIT_URL"], token("viewer", room_name))
    try:
        async with talk(audio_format=audio_format) as t:
            seen = {}
            for _ in range(2):
                track, publication, who = await tracks.get()
                seen[publication.source] = (track, publication)
                assert (who.identity, dict(who.attributes)["lk.publish_on_behalf"]) == (AVATAR, "agent")
                assert who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
            audio, _ = seen[rtc.TrackSource.SOURCE_MICROPHONE]
            video, published = seen[rtc.TrackSource.SOURCE_CAMERA]
            assert published.mime_type.lower() == "video/vp8"
            async for shown in rtc.VideoStream(video, format=rtc.VideoBufferType.I420):
                pixels = shown.frame.width * shown.frame.height
                assert max(bytes(shown.frame.data[:pixels])) < 20
                break
            t.say(3000)
            await received(audio, loud=audio_format == "pcm_s16le")
    finally:
        await viewer.disconnect()


async def received(track: rtc.RemoteAudioTrack, *, loud: bool) -> None:
    """Receive speech; or half a second of silence."""
    frames = 0
    async for event in rtc.AudioStream(track):
        frames += 1
        samples = memoryview(event.frame.data).cast("B").cast("h")
        is_loud = max(samples) > 3000
        assert loud or not is_loud
        if is_loud or (not loud and frames > 50):
            return


async def test_silence(talk) -> None:
    """The avatar leaves the room after the plug-in's own time without speech."""
    async with talk(idle_timeout_seconds=1) as t:
        gone = asyncio.Event()
        t.room.on("participant_disconnected", lambda who: gone.set() if who.identity == AVATAR else None)
        await t.say(2000).wait_for_playout()
        await gone.wait()

    assert [playout.interrupted for playout in t.finished] == [False]


async def test_an_end_of_playback_that_is_withheld(simulator, talk) -> None:
    """The plug-in finishes an interrupted turn by itself, and takes the next one's word again."""
    await admin(simulator, "POST", "faults", at="room", fault="lost_finish")
    async with talk() as t:
        cut = t.say(10_000)
        async with asyncio.timeout(20):
            while not [
                r for r in (await admin(simulator, "GET", "requests"))["requests"] if r["playback_ms"]
            ]:
                await asyncio.sleep(0.02)
        cut.interrupt()
        await cut.wait_for_playout()
        await t.say(1000).wait_for_playout()

    assert [(playout.interrupted, playout.playback_position) for playout in t.finished] == [
        (True, 0.0),
        (False, 1.0),
    ]


async def test_a_token_signed_by_another(endpoints, room_name, simulator) -> None:
    """16, from the server's own answer; the token is in no log."""
    configure_telemetry("")
    forged = token("avatar", room_name, "x" * 40)
    session = new_avatar_session(
        api_key="key", app_id="app", avatar_id="ava", **endpoints,
        livekit_egress=LiveKitEgressConfig(
            url=os.environ["LIVEKIT_URL"], api_token=forged, room_name=room_name, publisher_id="avatar"
        ),
    )  # fmt: skip
    await session.init()
    with pytest.raises(AvatarSDKError) as refused:
        await session.start()
    await session.close()

    assert refused.value.server_code == "16"
    assert forged not in simulator.log_path.read_text()


async def test_attributes_that_the_token_allows(endpoints, room_name) -> None:
    """Those of the egress are the participant's, where its token lets it name them."""
    configure_telemetry("")
    viewer = rtc.Room()
    await viewer.connect(os.environ["LIVEKIT_URL"], token("viewer", room_name))
    seen: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    viewer.on("participant_attributes_changed", lambda _, who: seen.put_nowait(dict(who.attributes)))
    viewer.on("participant_connected", lambda who: seen.put_nowait(dict(who.attributes)))
    async with new_avatar_session(
        api_key="key", app_id="app", avatar_id="ava", **endpoints,
        livekit_egress=LiveKitEgressConfig(
            url=os.environ["LIVEKIT_URL"], room_name=room_name, publisher_id="avatar",
            api_token=token("avatar", room_name, can_update_own_metadata=True),
            extra_attributes={"livekit_agent_identity": "viewer"},
        ),
    ):  # fmt: skip
        while (await seen.get()).get("livekit_agent_identity") != "viewer":
            pass
    await viewer.disconnect()


async def test_the_room_is_gone(endpoints, room_name) -> None:
    """A participant that is removed ends its session as a failure of egress."""
    configure_telemetry("")
    errors: asyncio.Queue[Any] = asyncio.Queue()
    async with new_avatar_session(
        api_key="key", app_id="app", avatar_id="ava", on_error=errors.put_nowait, **endpoints,
        livekit_egress=LiveKitEgressConfig(
            url=os.environ["LIVEKIT_URL"], api_token=token("avatar", room_name), room_name=room_name,
            publisher_id="avatar",
        ),
    ):  # fmt: skip
        async with api.LiveKitAPI() as server:
            await server.room.delete_room(api.DeleteRoomRequest(room=room_name))
        error = await errors.get()

    assert error.server_code == "14"
