"""Workers: the benchmark's own processes, commanded by JSON lines, one answer a line.

A Python worker serves its commands with ``serve``; one in another language reads and writes the same lines.
"""

import asyncio
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import uvloop

from relay_runtime.parent import end_with_parent

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0
_LINE_BYTES = 64 * 1024 * 1024

Commands = Mapping[str, Callable[..., Any]]


class WorkerError(Exception):
    """Raised when a worker ends or does not answer; the text has its last output."""


class Worker:
    """A child process on the other end of two pipes. Enter it to start it; leaving ends it.

    Args:
        name: For messages.
        command: What to run.
        environment: Its whole environment; None for ours.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._process: asyncio.subprocess.Process

    @classmethod
    def module(cls, name: str) -> Self:
        """A worker that is a module beside this one."""
        return cls(name, [sys.executable, "-m", f"tests.benchmarks.{name}"])

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            cwd=ROOT, env=self._environment, limit=_LINE_BYTES,
            start_new_session=True, preexec_fn=end_with_parent,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def ask(self, command: str, **arguments: Any) -> Any:
        """Have it do something and return what it answers.

        Raises:
            WorkerError: It failed, ended, or was silent for ``ANSWER_TIMEOUT_S``.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._process.stdin.drain()
        except (TimeoutError, ConnectionError) as error:
            raise WorkerError(f"{self.name} did not receive {command!r}: {error!r}") from None
        return await self.answer(command)

    async def answer(self, command: str) -> Any:
        """Its next answer; raises as ``ask``."""
        assert self._process.stdout
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise WorkerError(f"{self.name} did not answer {command!r} in {ANSWER_TIMEOUT_S} s") from None
        if not line:
            raise WorkerError(f"{self.name} ended while it was asked to {command!r}; its words are above")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name} could not {command!r}: {answer['error']}")
        return answer.get("ok")


async def _serve(commands: Commands) -> None:
    lines = asyncio.StreamReader(limit=_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer
    )
    while line := await lines.readline():
        request = json.loads(line)
        try:
            answer = commands[request.pop("do")](**request)
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as error:
            print(json.dumps({"error": repr(error)}), flush=True)  # noqa: T201  # the pipe
            raise
        print(json.dumps({"ok": answer}), flush=True)  # noqa: T201  # the pipe


def serve(commands: Commands) -> None:
    """Be a worker: carry out commands from standard input until it is closed."""
    uvloop.run(_serve(commands))
