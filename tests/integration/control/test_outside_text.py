"""Text that backends bring: what is optional and no good is left out, and costs no audio."""

import pytest

from relay_control.trace_context import DROPPED_FIELDS
from relay_wire import audio_socket, uplink

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PCM = bytes(range(100))


def dropped() -> float:
    return DROPPED_FIELDS.labels("traceparent")._value.get()


@pytest.mark.parametrize(
    "given", ["é", "x" * 500_000, PARENT.upper(), "00-" + "0" * 32 + "-" + "0" * 16 + "-01"]
)
async def test_a_start_with_a_traceparent_that_is_none(open_rig, given: str) -> None:
    """The audio is acknowledged and can be read; nothing of the field is stored; it is counted."""
    async with open_rig() as rig:
        conversation, before = await rig.create(), dropped()
        async with rig.socket(conversation) as socket:
            await rig.send(socket, audio_socket.Start(traceparent=given))
            await socket.send_bytes(PCM)
            assert await rig.answers(socket, 2) == [audio_socket.Turn(1), audio_socket.Ack(1, 100)]

        assert {entry.traceparent for entry in await rig.up_entries(conversation)} == {""}
        assert await rig.audio(conversation) == {1: PCM}
        assert dropped() == before + 1


async def test_an_upgrade_with_a_traceparent_that_is_none(open_rig) -> None:
    """As with `start`, for every turn of the socket."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation, headers={**rig.auth, "traceparent": "é"}) as socket:
            for _ in range(2):
                await socket.send_bytes(PCM)
                await rig.send(socket, audio_socket.End())
            await rig.answers(socket, 6)

        assert await rig.audio(conversation) == {1: PCM, 2: PCM}


async def test_a_tracestate(open_rig) -> None:
    """It goes with its traceparent, of `start` or of the upgrade; what is none is left out and counted."""
    async with open_rig() as rig:
        conversation = await rig.create()
        before = DROPPED_FIELDS.labels("tracestate")._value.get()
        headers = {**rig.auth, "traceparent": PARENT, "tracestate": "a=1, b=2"}
        async with rig.socket(conversation, headers=headers) as socket:
            for state in (None, "c=3", "no state"):
                if state is not None:
                    await rig.send(socket, audio_socket.Start(traceparent=PARENT, tracestate=state))
                await socket.send_bytes(PCM)
                await rig.send(socket, audio_socket.End())
            await rig.answers(socket, 9)

        first = [entry for entry in await rig.up_entries(conversation) if entry.offset == 0]
        assert [entry.tracestate for entry in first] == ["a=1,b=2", "c=3", ""]
        assert {entry.traceparent for entry in first} == {PARENT}
        assert DROPPED_FIELDS.labels("tracestate")._value.get() == before + 1


async def test_a_traceparent_of_a_later_version(open_rig) -> None:
    """It travels in the form of version 00."""
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await rig.send(socket, audio_socket.Start(traceparent="01" + PARENT[2:] + "-more"))
            await socket.send_bytes(PCM)
            await rig.answers(socket, 2)

        assert (await rig.up_entries(conversation))[0].traceparent == PARENT


async def test_an_entry_whose_optional_fields_cannot_be_read_keeps_its_audio() -> None:
    """Entries that older versions stored are spoken."""
    fields = {
        b"k": b"speech",
        b"t": b"1",
        b"o": b"0",
        b"d": PCM,
        b"traceparent": b"\xc3\xa9",
        b"key": b"\xff",
    }

    assert uplink.decode(fields) == uplink.SpeechChunk(1, 0, PCM)


@pytest.mark.parametrize("avatar", ["a\nb", "\x1b[2J", "x" * 129, "a\u202eb"])
async def test_an_avatar_that_is_no_name(open_rig, avatar: str) -> None:
    """422, the field named."""
    async with open_rig() as rig:
        status, problem, _ = await rig.call("POST", "/v1/conversations", json={"avatar_id": avatar})

    assert (status, problem["type"]) == (422, "urn:avatar-relay:problem:invalid-field")
    assert "avatar_id" in problem["detail"]


@pytest.mark.parametrize(
    "path",
    ["/v1/conversations/a%00b", "/v1/conversations/a%0Ab/interrupt", "/v1/conversations/" + "x" * 4000],
)
async def test_a_conversation_that_is_no_name(open_rig, path: str) -> None:
    """404, as for any that is not there."""
    async with open_rig() as rig:
        status, _, _ = await rig.call("POST" if path.endswith("interrupt") else "GET", path)

    assert status == 404


async def test_json_nested_too_deep(open_rig) -> None:
    """The message is refused; the turn continues."""
    deep = '{"type":"start","x":' + "[" * 60_000
    async with open_rig() as rig:
        conversation = await rig.create()
        async with rig.socket(conversation) as socket:
            await socket.send_str(deep)
            await socket.send_bytes(PCM)
            error, *rest = await rig.answers(socket, 3)

    assert (error.code, rest) == ("bad-message", [audio_socket.Turn(1), audio_socket.Ack(1, 100)])
