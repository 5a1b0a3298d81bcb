"""A backend and a viewer of the version that runs this, by the public names of its client library alone.

``client.py CONTROL SPEECH GATEWAY...``: the URLs, a file of PCM, and the API key as RELAY_API_KEY. It creates
a conversation, and answers each line of standard input with a JSON object in a line.
"""

import asyncio
import hashlib
import itertools
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import relay_client
from relay_client import Backend, Viewer
from relay_wire import events
from relay_wire.frame import Kind

_PIECE = 3200
_PACE_S = 0.1
_LOOK_S = 0.02


class Client:
    """One backend, and the viewer that watches its conversation."""

    def __init__(self, backend: Backend, conversation: str, viewer: Viewer, speech: bytes) -> None:
        self._backend = backend
        self._conversation = conversation
        self._viewer = viewer
        self._speech = speech
        self._frames: list[tuple[int, int, int, str]] = []
        self._ended: set[int] = set()

    async def run(self) -> None:
        """Answer commands until the conversation has ended."""
        watching = asyncio.create_task(self._watch())
        while command := await _line():
            answer: dict[str, Any] = await getattr(self, command)()
            if command == "end":
                await watching
                report = self._viewer.report
                answer = {
                    "frames": self._frames, "gaps": report.gaps, "duplicates": report.duplicates,
                    "out_of_order": report.out_of_order, "resumes": report.resumes,
                }  # fmt: skip
            _answer(answer)

    async def post(self) -> dict[str, int]:
        """Post a turn whole."""
        return await self._spoken(await self._post())

    async def cut(self) -> dict[str, int]:
        """Break the viewer's connection in the middle of a turn."""
        turn = await self._post()
        await _until(lambda: self._is_at(turn))
        self._viewer.cut()
        return await self._spoken(turn)

    async def interrupt(self) -> dict[str, int]:
        """Interrupt a turn."""
        turn = await self._post()
        await _until(lambda: self._is_at(turn))
        await self._backend.interrupt(self._conversation)
        return await self._spoken(turn)

    async def speak(self) -> dict[str, int]:
        """Speak a turn as it is synthesised, until the next line; answers at its beginning and its end."""
        enough = asyncio.create_task(_line())
        sent = 0
        async with self._backend.speech(self._conversation) as stream:
            for start in itertools.cycle(range(0, len(self._speech), _PIECE)):
                await stream.send(piece := self._speech[start : start + _PIECE])
                begun, sent = sent == 0, sent + len(piece)
                if begun:
                    await _until(lambda: self._is_at(stream.turn))
                    _answer({"turn": stream.turn})
                await asyncio.sleep(_PACE_S)
                if enough.done():
                    break
        return {**await self._spoken(stream.turn), "bytes": sent}

    async def end(self) -> dict[str, int]:
        """End the conversation."""
        await self._backend.end(self._conversation)
        return {}

    async def _post(self) -> int:
        return (await self._backend.post_turn(self._conversation, self._speech)).turn

    async def _spoken(self, turn: int) -> dict[str, int]:
        await _until(lambda: turn in self._ended)
        return {"turn": turn}

    def _is_at(self, turn: int) -> bool:
        return turn > 0 and bool(self._frames) and self._frames[-1][0] == turn

    async def _watch(self) -> None:
        async for frame in self._viewer:
            if frame.seq:
                digest = hashlib.sha256(frame.payload).hexdigest()
                self._frames.append((frame.turn, frame.seq, int(frame.kind), digest))
            if frame.kind is Kind.EVENT and isinstance(events.decode(frame.payload), events.TurnEnded):
                self._ended.add(frame.turn)
                with suppress(ConnectionError):  # then another viewer, or the clock, lets the next turn begin
                    await self._viewer.report_playback(frame.turn, "finished")


async def _line() -> str:
    return (await asyncio.to_thread(sys.stdin.readline)).strip()


def _answer(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201  # the answer


async def _until(reached: Callable[[], bool]) -> None:
    while not reached():
        await asyncio.sleep(_LOOK_S)


async def main(control: str, speech: bytes, gateways: list[str]) -> None:
    """Create a conversation, and answer."""
    async with Backend(control, os.environ["RELAY_API_KEY"]) as backend:
        conversation = (await backend.create(avatar_id="avatar-0")).id
        token = (await backend.token(conversation)).token
        async with Viewer(gateways, conversation, token) as viewer:
            _answer({"conversation": conversation, "library": relay_client.__file__})
            await Client(backend, conversation, viewer, speech).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes(), sys.argv[3:]))
