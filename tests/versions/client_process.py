"""The process of a client of one version, and what it is told to do."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.faults.truth import Spoken
from tests.versions.builds import Build
from tests.versions.roll import SPEECH, STEP_S, Change, Roll, Talk

from relay_runtime.parent import end_with_parent
from relay_settings.environment import child_environment

_PROGRAM = Path(__file__).with_name("client.py")


class ClientProcess:
    """A client of one version, in a conversation of its own.

    Attributes:
        conversation: Its conversation.
        library: Where its client library is.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self.conversation = self.library = ""

    async def begin(self) -> None:
        """Wait until it watches its conversation."""
        begun = await self._answer()
        self.conversation, self.library = begun["conversation"], begun["library"]

    async def post(self, talk: Talk) -> None:
        """Have it post a turn whole."""
        await self._speak(talk, "post")

    async def cut(self, talk: Talk) -> None:
        """Have it break its viewer's connection, in mid-turn."""
        await self._speak(talk, "cut")

    async def interrupt(self, talk: Talk) -> None:
        """Have it interrupt a turn of its own."""
        await self._speak(talk, "interrupt")

    async def speak_through(self, talk: Talk, change: Change) -> None:
        """Have it speak a turn as it is synthesised, until the change is done, which begins in its middle."""
        turn = (await self._ask("speak"))["turn"]
        await change()
        spoken = await self._ask("enough")
        assert spoken["turn"] == turn
        sent = (SPEECH * (spoken["bytes"] // len(SPEECH) + 1))[: spoken["bytes"]]
        talk.spoken[turn] = Spoken(sent, acknowledged=True)
        await talk.ended(turn)

    async def end(self) -> dict[str, Any]:
        """Have it end the conversation; what its viewer has received."""
        received = await self._ask("end")
        received["frames"] = [tuple(frame) for frame in received["frames"]]
        return received

    async def _speak(self, talk: Talk, command: str) -> None:
        turn = (await self._ask(command))["turn"]
        talk.spoken[turn] = Spoken(SPEECH, acknowledged=True)
        await talk.ended(turn)

    async def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), STEP_S)
        assert line, "the client has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def client_of(build: Build, roll: Roll, folder: Path) -> AsyncIterator[ClientProcess]:
    """A client of a version, at this relay."""
    speech = folder / "speech.pcm"
    speech.write_bytes(SPEECH)
    process = await asyncio.create_subprocess_exec(
        build.python, "-I", _PROGRAM, f"http://127.0.0.1:{roll.control.port}", speech, *roll.gateway_urls,
        stdin=PIPE, stdout=PIPE, stderr=sys.stderr, limit=2**24, preexec_fn=end_with_parent,
        env=child_environment({"RELAY_API_KEY": roll.stack.api_key}),
    )  # fmt: skip
    try:
        client = ClientProcess(process)
        await client.begin()
        yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
